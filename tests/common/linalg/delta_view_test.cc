// A view that is a task vector has nothing subtracted from it, whatever the base is: every kernel
// gives what it gives of the same numbers as an expert of a base of zeros.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "common/base/executor.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/linalg/delta_pass.h"
#include "common/linalg/gram.h"
#include "common/linalg/kernels.h"
#include "common/linalg/top_k.h"
#include "tests/common/linalg/linalg_testing.h"

namespace merganser {
namespace {

constexpr int64_t kRows = 13, kCols = 37;
constexpr uint64_t kSize = kRows * kCols;

// Two experts' task vectors beside a base that would show wherever it is subtracted.
struct Case {
  explicit Case(DType dtype)
      : base(dtype, RandomValues(1, kSize, 8), 1),
        zeros(dtype, kSize, 1),
        a(dtype, RandomValues(2, kSize), 3),
        b(dtype, RandomValues(3, kSize), 1) {}
  static TensorView Delta(const Tensor& tensor) {
    TensorView view = tensor.View();
    view.delta = true;
    return view;
  }
  std::vector<TensorView> deltas() const { return {Delta(a), Delta(b)}; }
  std::vector<TensorView> plain() const { return {a.View(), b.View()}; }

  Tensor base, zeros, a, b;
};

std::vector<Triplets> Heads() {
  std::vector<Triplets> heads;
  for (uint64_t seed = 5; seed < 7; ++seed) {
    heads.push_back({1,
                     kRows,
                     kCols,
                     {0.5},
                     RandomOrthonormal(seed, kRows, 1),
                     RandomOrthonormal(seed + 9, kCols, 1)});
  }
  return heads;
}

class DeltaView : public ::testing::TestWithParam<DType> {
 protected:
  const Case c{GetParam()};
  SerialExecutor serial;
};

TEST_P(DeltaView, StaysOneWhenItIsSliced) {
  EXPECT_TRUE(Case::Delta(c.a).Slice(3, 5).delta);
  EXPECT_FALSE(c.a.View().Slice(3, 5).delta);
}

TEST_P(DeltaView, LoadDelta) {
  for (const double scale : {1.0, 0.5}) {
    std::vector<double> found(linalg::PadLanes(kSize), 7), want(found);
    linalg::LoadDelta(c.base.View(), Case::Delta(c.a), scale, found.data());
    linalg::LoadDelta(c.zeros.View(), c.a.View(), scale, want.data());
    EXPECT_EQ(found, want) << scale;
  }
}

TEST_P(DeltaView, Gram) {
  EXPECT_EQ(Gram(c.base.View(), c.deltas(), serial), Gram(c.zeros.View(), c.plain(), serial));
  // One expert may be weights.
  const std::vector<TensorView> mixed = {Case::Delta(c.a), c.b.View()};
  const std::vector<double> gram = Gram(c.base.View(), mixed, serial);
  double product = 0;
  for (uint64_t i = 0; i < kSize; ++i) product += c.a.At(i) * (c.b.At(i) - c.base.At(i));
  EXPECT_NEAR(gram[1], product, 1e-10);
}

TEST_P(DeltaView, AddTaskVectors) {
  const std::vector<double> weights = {0.75, -0.5};
  Tensor out(DType::kF64, kSize);
  ASSERT_FALSE(AddTaskVectors(c.base.View(), c.deltas(), weights, 2, out.Mutable(), serial));
  for (uint64_t i = 0; i < kSize; ++i) {
    ASSERT_NEAR(out.At(i), c.base.At(i) + 2 * (0.75 * c.a.At(i) - 0.5 * c.b.At(i)), 1e-13) << i;
  }
  // The same in the type of the inputs, for which there are loops of their own.
  Tensor narrow(GetParam(), kSize);
  ASSERT_FALSE(AddTaskVectors(c.base.View(), c.deltas(), weights, 2, narrow.Mutable(), serial));
  for (uint64_t i = 0; i < kSize; ++i) {
    ASSERT_EQ(narrow.At(i), RoundTo(GetParam(), out.At(i))) << i;
  }
}

TEST_P(DeltaView, ResidualGram) {
  const std::vector<Triplets> heads = Heads();
  const std::vector<double> found =
      ResidualGram(c.base.View(), c.deltas(), heads, kRows, kCols, serial);
  const std::vector<double> want =
      ResidualGram(c.zeros.View(), c.plain(), heads, kRows, kCols, serial);
  ASSERT_EQ(found.size(), want.size());
  // Pairs of bf16 have a loop of their own, whose lanes are others.
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(found[i], want[i], 1e-12 * kSize) << i;
}

TEST_P(DeltaView, CombineResiduals) {
  const std::vector<Triplets> heads = Heads();
  const std::vector<double> residual = {0.5, 0.25}, head = {1.5, -1};
  Tensor out(GetParam(), kSize), zero_based(DType::kF64, kSize);
  ASSERT_FALSE(CombineResiduals(c.base.View(), c.deltas(), heads, kRows, kCols, residual, head,
                                out.Mutable(), serial));
  ASSERT_FALSE(CombineResiduals(c.zeros.View(), c.plain(), heads, kRows, kCols, residual, head,
                                zero_based.Mutable(), serial));
  const double unit = GetParam() == DType::kBF16  ? 0x1p-8
                      : GetParam() == DType::kF16 ? 0x1p-11
                                                  : 0x1p-23;
  for (uint64_t i = 0; i < kSize; ++i) {
    ASSERT_NEAR(out.At(i), c.base.At(i) + zero_based.At(i), 16 * unit) << i;
  }
}

TEST_P(DeltaView, PassesOfTheSolver) {
  using namespace linalg;
  constexpr size_t kCount = 3, kPassed = kPassRows<double>;
  EXPECT_FALSE(HasDeltaF32(c.base.View(), Case::Delta(c.a)));
  const size_t length = PackedLength<double>(kCols);
  std::vector<double> x(kCount * length), scratch((kPassed + 1) * length);
  PackVectors(RandomValues(8, kCount * kCols).data(), kCols, kCount, kCols, x.data());
  const auto pass = [&](const TensorView& base, const TensorView& expert) {
    std::vector<double> t(kPassed * kCount), z(kCount * length);
    PassRows(base.Slice(0, kPassed * kCols), expert.Slice(0, kPassed * kCols), 1, kPassed, kCols,
             x.data(), kCount, scratch.data(), t.data(), z.data());
    t.insert(t.end(), z.begin(), z.end());
    return t;
  };
  EXPECT_EQ(pass(c.base.View(), Case::Delta(c.a)), pass(c.zeros.View(), c.a.View()));
}

TEST_P(DeltaView, LeadingTriplets) {
  TopKOptions options;
  options.k = 2;
  const auto found = ComputeTopK({c.base.View(), Case::Delta(c.a), kRows, kCols}, options, serial);
  const auto want = ComputeTopK({c.zeros.View(), c.a.View(), kRows, kCols}, options, serial);
  ASSERT_TRUE(found.ok() && want.ok());
  for (int k = 0; k < 2; ++k) {
    EXPECT_NEAR(found->triplets.sigma[k], want->triplets.sigma[k], 1e-9 * want->triplets.sigma[0]);
  }
}

TEST_P(DeltaView, NotFiniteIsFound) {
  Tensor bad(GetParam(), RandomValues(2, kSize));
  bad.Set(77, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(FindNonFinite(Case::Delta(bad), serial), 77u);
  EXPECT_FALSE(FindNonFinite(Case::Delta(c.a), serial).has_value());
}

INSTANTIATE_TEST_SUITE_P(Floats, DeltaView, ::testing::ValuesIn(kFloats));

}  // namespace
}  // namespace merganser
