// arcee_fusion against its definition in long double, with every importance sorted.
#include "common/methods/arcee_fusion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/methods/order_statistics.h"
#include "tests/common/methods/run_method.h"
#include "tests/common/methods/vectors.h"

namespace merganser {
namespace {

constexpr uint64_t kSeed = 60013;

TensorView View(const Vector& values) {
  return {reinterpret_cast<const std::byte*>(values.data()), DType::kF64, values.size()};
}

std::vector<long double> Softmax(const Vector& row) {
  const long double max = *std::max_element(row.begin(), row.end());
  std::vector<long double> out;
  long double sum = 0;
  for (const double x : row) sum += out.emplace_back(std::exp(x - max));
  for (long double& p : out) p = p / sum + 1e-8L;
  return out;
}

long double DivergenceReference(const Vector& base, const Vector& model) {
  const std::vector<long double> q = Softmax(base), p = Softmax(model);
  long double sum = 0;
  for (size_t e = 0; e < p.size(); ++e) sum += p[e] * std::log(p[e] / q[e]);
  return sum;
}

double Divergence(const Vector& base, const Vector& model) {
  Vector buffer(RowDivergenceBuffer(base.size()));
  return RowDivergence(View(base), View(model), 0, base.size(), buffer.data());
}

TEST(RowDivergenceTest, IsThatOfTheDefinition) {
  for (const size_t cols : {1, 2, 15, 16, 17, 511, 513, 5000, 65'537, 70'000}) {
    for (const double step : {1e-4, 0.01, 0.5, 4.0, 20.0}) {
      const Models models = MakeModels(cols, 1, kSeed + cols, step);
      const long double expected = DivergenceReference(models.base, models.experts[0]);
      // The reference cancels: its own error is about 2^-60 of its terms.
      EXPECT_NEAR(Divergence(models.base, models.experts[0]), static_cast<double>(expected),
                  1e-12 * static_cast<double>(expected) + 1e-17)
          << cols << " columns, step " << step;
    }
  }
}

TEST(RowDivergenceTest, OfEqualRowsIsZeroAndOfNearlyEqualOnesIsNotNoise) {
  Vector row(300);
  for (size_t e = 0; e < row.size(); ++e) row[e] = std::sin(static_cast<double>(e));
  EXPECT_EQ(Divergence(row, row), 0);
  Vector near = row;
  near[7] += 1e-7;
  const std::vector<long double> q = Softmax(row);
  // p (1 - p) step^2 / 2, far below the rounding of a sum of p log(p/q).
  const long double probability = q[7] - 1e-8L;
  EXPECT_NEAR(Divergence(row, near),
              static_cast<double>(probability * (1 - probability) * 1e-14L / 2), 1e-21);
  // Constant shifts change no distribution.
  for (double& x : near) x = 3;
  EXPECT_LT(Divergence(Vector(300, 2.5), near), 1e-25);
}

TEST(RowDivergenceTest, StaysFiniteForRowsFarApart) {
  const double far = Divergence({0, 0, 1e4}, {1e4, 0, 0});
  EXPECT_NEAR(far, std::log(1 + 1e8), 1e-6);
  EXPECT_GT(Divergence({-1e300, 1e300}, {1e300, -1e300}), 1);
}

struct Wanted {
  Vector values;
  Vector quartiles;
  double threshold = 0;
  std::vector<bool> close;  // to the threshold: either is right
};

Wanted Reference(const Vector& base, const Vector& model, size_t cols) {
  std::vector<float> importances;
  for (size_t at = 0; at < base.size(); at += cols) {
    const auto row = [&](const Vector& x) {
      return Vector(x.begin() + static_cast<ptrdiff_t>(at),
                    x.begin() + static_cast<ptrdiff_t>(at + cols));
    };
    const long double divergence = DivergenceReference(row(base), row(model));
    for (size_t e = at; e < at + cols; ++e) {
      importances.push_back(
          static_cast<float>(std::fabs(static_cast<long double>(model[e]) - base[e]) * divergence));
    }
  }
  std::vector<float> sorted = importances;
  std::sort(sorted.begin(), sorted.end());
  Wanted wanted;
  for (const double q : {0.25, 0.5, 0.75}) {
    wanted.quartiles.push_back(
        sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))]);
  }
  wanted.threshold = wanted.quartiles[1] + 1.5 * (wanted.quartiles[2] - wanted.quartiles[0]);
  for (size_t e = 0; e < base.size(); ++e) {
    const double importance = importances[e];
    wanted.values.push_back(importance >= wanted.threshold ? model[e] : base[e]);
    wanted.close.push_back(std::fabs(importance - wanted.threshold) < 1e-6 * wanted.threshold);
  }
  return wanted;
}

double Field(const MethodResult& result, const std::string& key, size_t i = 0) {
  for (const ReportField& field : result.report) {
    if (field.key == key) return field.values.at(i);
  }
  ADD_FAILURE() << "no " << key;
  return 0;
}

TEST(ArceeFusionTest, TakesTheElementsAboveTheExactThreshold) {
  const Shape shapes[] = {{7}, {40, 30}, {3, 5, 17}, {200, 700}, {1000, 1}};
  for (const Shape& shape : shapes) {
    size_t size = 1;
    for (const uint64_t side : shape) size *= side;
    const Models models = MakeModels(size, 1, kSeed + size, 0.05);
    for (const DType dtype : {DType::kF64, DType::kBF16}) {
      MethodRun run;
      run.base = RoundTo(dtype, models.base);
      run.experts = {RoundTo(dtype, models.experts[0])};
      run.shape = shape;
      run.in = run.out = dtype;
      const Wanted wanted = Reference(run.base, run.experts[0], shape.back());
      std::vector<std::byte> whole;
      for (const uint64_t leaf : {kLeafElements, uint64_t{256}}) {
        for (const size_t helpers : {0, 2}) {
          SCOPED_TRACE(testing::Message() << testing::PrintToString(shape) << " leaf " << leaf);
          run.leaf_elements = leaf;
          run.helpers = helpers;
          const absl::StatusOr<MethodResult> result = RunMethod(*MakeArceeFusion(), run);
          ASSERT_TRUE(result.ok()) << result.status();
          EXPECT_EQ(result->rounds, 2);
          for (size_t i = 0; i < 3; ++i) {
            EXPECT_NEAR(Field(*result, "quartiles", i), wanted.quartiles[i],
                        2e-7 * wanted.quartiles[i]);
          }
          EXPECT_NEAR(Field(*result, "threshold"), wanted.threshold, 1e-6 * wanted.threshold);
          for (size_t e = 0; e < size; ++e) {
            if (!wanted.close[e]) {
              ASSERT_EQ(result->values[e], wanted.values[e]) << "element " << e;
            }
          }
          // Whatever the cut, ranks are exact: the same bytes.
          if (whole.empty()) whole = result->bytes;
          EXPECT_EQ(result->bytes, whole);
        }
      }
    }
  }
}

TEST(ArceeFusionTest, ATensorThatChangedInFewPlacesBecomesTheModels) {
  // Most importances are zero, and so is the threshold.
  Models models = MakeModels(600, 1, kSeed);
  models.experts[0] = models.base;
  models.experts[0][17] += 1;
  models.experts[0][300] -= 2;
  MethodRun run;
  run.base = models.base;
  run.experts = models.experts;
  run.shape = {20, 30};
  const absl::StatusOr<MethodResult> result = RunMethod(*MakeArceeFusion(), run);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(Field(*result, "threshold"), 0);
  EXPECT_EQ(result->values, models.experts[0]);
  EXPECT_EQ(Field(*result, "taken"), 600);
}

TEST(ArceeFusionTest, AModelEqualToTheBaseGivesTheBase) {
  MethodRun run;
  run.base = MakeModels(100, 1, kSeed).base;
  run.experts = {run.base};
  const absl::StatusOr<MethodResult> result = RunMethod(*MakeArceeFusion(), run);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->values, run.base);
}

// Of a matrix that is stored [in, out], or a stack of them: what its transpose gives.
TEST(ArceeFusionTest, OutputsRowsOnDemand) {
  for (const Shape& shape : {Shape{40, 30}, Shape{7, 300}, Shape{5, 1}, Shape{3, 20, 17}}) {
    const size_t rows = shape[shape.size() - 2], cols = shape.back();
    const size_t size = (shape.size() == 3 ? shape[0] : 1) * rows * cols;
    const Models models = MakeModels(size, 1, kSeed + 5, 0.05);
    const auto turned_of = [&](const Vector& values) {
      Vector out(size);
      for (size_t e = 0; e < size; ++e) {
        const size_t in = e % (rows * cols);
        out[e - in + in % cols * rows + in / cols] = values[e];
      }
      return out;
    };
    MethodRun run;
    run.name = "model.layers.0.mlp.experts.down_proj";
    run.base = models.base;
    run.experts = models.experts;
    run.shape = shape;
    MethodRun turned = run;
    std::swap(turned.shape[shape.size() - 2], turned.shape.back());
    turned.hints.transposed = true;
    turned.base = turned_of(run.base);
    turned.experts = {turned_of(run.experts[0])};
    const auto plain = RunMethod(*MakeArceeFusion(/*by_output=*/true), run);
    ASSERT_TRUE(plain.ok()) << plain.status();
    EXPECT_EQ(plain->needs.mode, "arcee_fusion");
    for (const size_t helpers : {0, 3}) {
      turned.helpers = helpers;
      const auto by_column = RunMethod(*MakeArceeFusion(/*by_output=*/true), turned);
      ASSERT_TRUE(by_column.ok()) << by_column.status();
      EXPECT_EQ(by_column->needs.mode, "by column");
      EXPECT_EQ(by_column->values, turned_of(plain->values));
    }
    const auto stored = RunMethod(*MakeArceeFusion(), turned);
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_EQ(stored->needs.mode, "arcee_fusion");
  }
}

TEST(ArceeFusionTest, OneElement) {
  MethodRun run;
  run.base = {2};
  run.experts = {{5}};
  const absl::StatusOr<MethodResult> result = RunMethod(*MakeArceeFusion(), run);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->values, Vector{5});
}

}  // namespace
}  // namespace merganser
