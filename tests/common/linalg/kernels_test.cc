// The streaming kernels against scalar code.
#include "common/linalg/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "common/base/executor.h"
#include "tests/common/linalg/linalg_testing.h"

namespace merganser {
namespace {

constexpr uint64_t kSizes[] = {0, 1, 15, 16, 17, 31, 33, 2047, 2049, 65537};

std::vector<TensorView> Views(const std::vector<Tensor>& tensors) {
  std::vector<TensorView> views;
  for (const Tensor& t : tensors) views.push_back(t.View());
  return views;
}

TEST(WeightedSum, EqualsTheScalarSumInEveryDtypeAndSize) {
  ThreadPool pool(1);
  for (const DType in : kFloats) {
    for (const DType to : kFloats) {
      for (const uint64_t n : kSizes) {
        const std::vector<Tensor> inputs = {Tensor(in, RandomValues(1, n), 1),
                                            Tensor(DType::kF32, RandomValues(2, n), 0),
                                            Tensor(in, RandomValues(3, n), 3)};
        const std::vector<double> weights = {0.25, -1.5, 3};
        Tensor out(to, n, 1);
        EXPECT_EQ(WeightedSum(Views(inputs), weights, 3, out.Mutable(), pool), std::nullopt);
        for (uint64_t i = 0; i < n; ++i) {
          double sum = weights[0] * inputs[0].At(i);
          sum = std::fma(weights[1], inputs[1].At(i), sum);
          sum = std::fma(weights[2], inputs[2].At(i), sum);
          ASSERT_EQ(out.At(i), RoundTo(to, sum / 3)) << n << " elements, at " << i;
        }
      }
    }
  }
}

// Products around ties, between subnormal numbers, and at the edge of overflow.
TEST(WeightedSum, RoundsBf16OnceToNearestEven) {
  SerialExecutor serial;
  std::vector<double> values;
  for (int i = 0; i < 64; ++i) {
    values.push_back((1 + i / 128.0) * std::ldexp(i % 2 == 0 ? 1 : -1, i % 5 - 2));
  }
  values.insert(values.end(), {0.0, -0.0, 1e-40, -1e-40});
  const Tensor t(DType::kBF16, values, 1);
  const std::vector<TensorView> inputs = {t.View()};
  const std::vector<double> nudges = {-0x1p-52, 0, 0x1p-52, 0x1p-30, -0x1p-30, 0x1p-20};
  for (int exponent = -136; exponent < 125; exponent += exponent < -120 ? 1 : 29) {
    for (int i = 0; i < 512; i += 3) {
      for (const double nudge : nudges) {
        const double w = std::ldexp(1 + i / 512.0 + nudge, exponent);
        Tensor out(DType::kBF16, values.size(), 1);
        ASSERT_EQ(WeightedSum(inputs, std::vector<double>{w}, 1, out.Mutable(), serial),
                  std::nullopt);
        for (uint64_t e = 0; e < values.size(); ++e) {
          const double want = RoundTo(DType::kBF16, w * t.At(e));
          ASSERT_EQ(out.At(e), want) << w << " * " << t.At(e);
          ASSERT_EQ(std::signbit(out.At(e)), std::signbit(want));
        }
      }
    }
  }
  Tensor out(DType::kBF16, values.size());
  const auto first = [&](double w) {
    return WeightedSum(inputs, std::vector<double>{w}, 1, out.Mutable(), serial);
  };
  // The largest magnitude is 1 + 63 / 128, four times.
  EXPECT_EQ(first(0x1p125), std::nullopt);
  EXPECT_NE(first(0x1.8p126), std::nullopt);
}

TEST(WeightedSum, MeanOfEqualTensorsIsThatTensorMinusZeroIncluded) {
  SerialExecutor serial;
  const Tensor t(DType::kBF16, std::vector<double>{-0.0, 0.0, 1.5, -3e38, 1e-40});
  Tensor out(DType::kBF16, 5);
  const std::vector<TensorView> same = {t.View(), t.View()};
  EXPECT_EQ(WeightedSum(same, std::vector<double>{1, 1}, 2, out.Mutable(), serial), std::nullopt);
  EXPECT_EQ(out, t);
  EXPECT_TRUE(std::signbit(out.At(0)));
}

TEST(WeightedSum, ReportsTheFirstOverflowAcrossBlocks) {
  ThreadPool pool(2);
  std::vector<double> values(200000, 1.0);
  for (const uint64_t at : {uint64_t{70000}, uint64_t{70001}, uint64_t{199999}}) values[at] = 60000;
  const Tensor t(DType::kF32, values);
  Tensor out(DType::kF16, values.size());
  const std::vector<TensorView> inputs = {t.View(), t.View()};
  const std::vector<double> weights = {1, 1};
  EXPECT_EQ(WeightedSum(inputs, weights, 1, out.Mutable(), pool), std::optional<uint64_t>(70000));
  EXPECT_EQ(WeightedSum(inputs, weights, 2, out.Mutable(), pool), std::nullopt);
}

TEST(AddTaskVectors, EqualsTheScalarSum) {
  ThreadPool pool(1);
  for (const DType b : kFloats) {
    for (const DType e : kFloats) {
      for (const uint64_t n : kSizes) {
        const Tensor base(b, RandomValues(1, n), 1);
        const std::vector<Tensor> experts = {Tensor(e, RandomValues(2, n), 1),
                                             Tensor(b, RandomValues(3, n), 1)};
        const std::vector<double> weights = {0.3, 0.7};
        Tensor out(b, n, 1);
        EXPECT_EQ(AddTaskVectors(base.View(), Views(experts), weights, 0.5, out.Mutable(), pool),
                  std::nullopt);
        for (uint64_t i = 0; i < n; ++i) {
          double sum = weights[0] * (experts[0].At(i) - base.At(i));
          sum = std::fma(weights[1], experts[1].At(i) - base.At(i), sum);
          ASSERT_EQ(out.At(i), RoundTo(b, std::fma(0.5, sum, base.At(i))));
        }
      }
    }
  }
}

TEST(AddTaskVectors, ExpertsEqualToTheBaseLeaveItsBits) {
  SerialExecutor serial;
  const Tensor base(DType::kF16, std::vector<double>{-0.0, 0.0, 5, -7});
  Tensor out(DType::kF16, 4);
  const std::vector<TensorView> experts = {base.View()};
  AddTaskVectors(base.View(), experts, std::vector<double>{1}, 2, out.Mutable(), serial);
  EXPECT_EQ(out, base);
}

TEST(FindNonFinite, GivesTheFirstIndexInEveryDtype) {
  ThreadPool pool(1);
  for (const DType dtype : kFloats) {
    for (const uint64_t n : kSizes) {
      Tensor t(dtype, RandomValues(1, n), 1);
      EXPECT_EQ(FindNonFinite(t.View(), pool), std::nullopt);
      if (n == 0) continue;
      t.Set(n - 1, std::numeric_limits<double>::infinity());
      EXPECT_EQ(FindNonFinite(t.View(), pool), std::optional<uint64_t>(n - 1));
      t.Set(n / 2, std::numeric_limits<double>::quiet_NaN());
      EXPECT_EQ(FindNonFinite(t.View(), pool), std::optional<uint64_t>(n / 2));
    }
  }
}

struct Scene {
  Tensor base;
  std::vector<Tensor> experts;
  std::vector<Triplets> heads;
  std::vector<std::vector<double>> head, residual;  // dense
};

Scene MakeScene(int64_t rows, int64_t cols, const std::vector<DType>& dtypes, int k) {
  const auto m = static_cast<size_t>(rows), n = static_cast<size_t>(cols);
  Scene s{Tensor(dtypes[0], RandomValues(1, m * n), 1), {}, {}, {}, {}};
  for (size_t i = 0; i < dtypes.size(); ++i) {
    s.experts.emplace_back(dtypes[i], RandomValues(10 + i, m * n), i % 2);
    Triplets t;
    t.k = i == 1 ? 0 : k;  // one expert without a head
    t.rows = rows;
    t.cols = cols;
    const auto count = static_cast<size_t>(t.k);
    t.sigma = RandomValues(20 + i, count);
    t.u = RandomValues(30 + i, count * m);
    t.v = RandomValues(40 + i, count * n);
    std::vector<double> h(m * n), r(m * n);
    for (size_t e = 0; e < m * n; ++e) {
      for (size_t j = 0; j < count; ++j)
        h[e] += t.sigma[j] * t.u[j * m + e / n] * t.v[j * n + e % n];
      r[e] = s.experts[i].At(e) - s.base.At(e) - h[e];
    }
    s.heads.push_back(t);
    s.head.push_back(h);
    s.residual.push_back(r);
  }
  return s;
}

constexpr struct {
  int64_t rows, cols;
} kShapes[] = {{1, 1}, {3, 17}, {17, 3}, {33, 513}, {5, 2049}, {700, 400}};

// Mixed dtypes and bf16 alone take different ways.
std::vector<std::vector<DType>> ExpertDTypes() {
  std::vector<std::vector<DType>> lists = {
      {DType::kBF16, DType::kBF16, DType::kF32, DType::kF64, DType::kF16, DType::kBF16}};
  for (const size_t n : {1, 2, 3, 4, 5, 17}) lists.emplace_back(n, DType::kBF16);
  return lists;
}

void CheckResidualGram(const std::vector<DType>& dtypes) {
  ThreadPool pool(1);
  for (const auto& shape : kShapes) {
    const Scene s = MakeScene(shape.rows, shape.cols, dtypes, 2);
    const size_t n = dtypes.size();
    const std::vector<double> gram =
        ResidualGram(s.base.View(), Views(s.experts), s.heads, shape.rows, shape.cols, pool);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double want = 0, size = 0;
        for (size_t e = 0; e < s.residual[i].size(); ++e) {
          want += s.residual[i][e] * s.residual[j][e];
          size += std::abs(s.residual[i][e] * s.residual[j][e]);
        }
        EXPECT_NEAR(gram[i * n + j], want, 1e-12 * size) << shape.rows << "x" << shape.cols;
        EXPECT_EQ(gram[i * n + j], gram[j * n + i]);
      }
    }
  }
}

TEST(ResidualGram, EqualsInnerProductsOfTheResiduals) {
  for (const std::vector<DType>& dtypes : ExpertDTypes()) CheckResidualGram(dtypes);
}

TEST(HeadGram, EqualsInnerProductsOfTheDenseHeads) {
  for (const auto& shape : kShapes) {
    const Scene s = MakeScene(shape.rows, shape.cols, {DType::kF32, DType::kF32, DType::kF32}, 3);
    const std::vector<double> gram = HeadGram(s.heads);
    for (size_t i = 0; i < 3; ++i) {
      for (size_t j = 0; j < 3; ++j) {
        double want = 0, size = 1e-300;
        for (size_t e = 0; e < s.head[i].size(); ++e) {
          want += s.head[i][e] * s.head[j][e];
          size += std::abs(s.head[i][e] * s.head[j][e]);
        }
        EXPECT_NEAR(gram[i * 3 + j], want, 1e-11 * size);
      }
    }
  }
}

void CheckCombineResiduals(const std::vector<DType>& dtypes) {
  ThreadPool pool(1);
  const size_t n = dtypes.size();
  std::vector<double> a, b;
  for (size_t i = 0; i < n; ++i) {
    a.push_back(i == 1 ? 0 : 0.5 - 0.75 * static_cast<double>(i % 2));
    b.push_back(i == 1 ? 0 : 1 + 0.5 * static_cast<double>(i));
  }
  for (const auto& shape : kShapes) {
    const Scene s = MakeScene(shape.rows, shape.cols, dtypes, 2);
    for (const DType to : kFloats) {
      Tensor out(to, s.head[0].size(), 1);
      EXPECT_EQ(CombineResiduals(s.base.View(), Views(s.experts), s.heads, shape.rows, shape.cols,
                                 a, b, out.Mutable(), pool),
                std::nullopt);
      for (size_t e = 0; e < s.head[0].size(); ++e) {
        double want = s.base.At(e), size = std::abs(want);
        for (size_t i = 0; i < n; ++i) {
          want += a[i] * s.residual[i][e] + b[i] * s.head[i][e];
          size += (1 + b[i]) * (std::abs(s.residual[i][e]) + std::abs(s.head[i][e]));
        }
        const double unit = to == DType::kBF16  ? 0x1p-8
                            : to == DType::kF16 ? 0x1p-11
                            : to == DType::kF32 ? 0x1p-24
                                                : 0;
        ASSERT_NEAR(out.At(e), want, 1e-14 * size + unit * std::abs(want) + (unit > 0 ? 1e-7 : 0));
      }
    }
  }
}

TEST(CombineResiduals, EqualsTheDenseFormula) {
  CheckCombineResiduals({DType::kBF16, DType::kF16, DType::kF32});
  for (const std::vector<DType>& dtypes : ExpertDTypes()) CheckCombineResiduals(dtypes);
}

TEST(CombineResiduals, ReportsOverflowByElementInBf16) {
  ThreadPool pool(1);
  std::vector<double> values(400 * 300, 1.0);
  values[77777] = 2e38;
  const Tensor base(DType::kBF16, std::vector<double>(values.size(), 1.0), 1);
  const Tensor expert(DType::kBF16, values, 1);
  const std::vector<TensorView> experts = {expert.View()};
  Tensor out(DType::kBF16, values.size());
  EXPECT_EQ(CombineResiduals(base.View(), experts, std::vector<Triplets>(1), 400, 300,
                             std::vector<double>{2}, std::vector<double>{0}, out.Mutable(), pool),
            std::optional<uint64_t>(77777));
}

TEST(CombineResiduals, ReportsOverflowByElement) {
  ThreadPool pool(1);
  std::vector<double> values(40 * 30, 1.0);
  values[777] = 65000;
  const Tensor base(DType::kF32, std::vector<double>(40 * 30, 1.0)), expert(DType::kF32, values);
  const std::vector<TensorView> experts = {expert.View()};
  const std::vector<Triplets> heads(1);
  Tensor out(DType::kF16, 40 * 30);
  EXPECT_EQ(CombineResiduals(base.View(), experts, heads, 40, 30, std::vector<double>{2},
                             std::vector<double>{0}, out.Mutable(), pool),
            std::optional<uint64_t>(777));
}

}  // namespace
}  // namespace merganser
