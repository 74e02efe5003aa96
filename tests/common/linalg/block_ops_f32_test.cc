// The float32 primitives against scalar evaluations in float64.
#include "common/linalg/block_ops_f32.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/linalg/block_ops.h"
#include "tests/common/linalg/linalg_testing.h"

namespace merganser::linalg {
namespace {

std::vector<float> Narrow(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

TEST(BlockOpsF32, DeltaIsTheDifferenceRoundedToFloat32AndPadded) {
  for (const uint64_t n : {0, 1, 15, 16, 17, 31, 33, 2047, 2049}) {
    const Tensor base(DType::kBF16, RandomValues(1, n), 1);
    const Tensor expert(DType::kBF16, RandomValues(2, n), 3);
    ASSERT_TRUE(HasDeltaF32(base.View(), expert.View()));
    std::vector<float> out(PadLanes(n) + 1, 7);
    LoadDeltaF32(base.View(), expert.View(), out.data());
    for (uint64_t i = 0; i < n; ++i) {
      EXPECT_EQ(out[i], static_cast<float>(expert.At(i)) - static_cast<float>(base.At(i))) << i;
    }
    if (n > 0) {
      for (uint64_t i = n; i < PadLanes(n); ++i) EXPECT_EQ(out[i], 0.0f) << i;
    }
    EXPECT_EQ(out[PadLanes(n)], 7.0f);
  }
}

TEST(BlockOpsF32, OnlyPairsOfBf16AreTaken) {
  const Tensor bf16(DType::kBF16, 4), f32(DType::kF32, 4);
  EXPECT_FALSE(HasDeltaF32(bf16.View(), f32.View()));
  EXPECT_FALSE(HasDeltaF32(f32.View(), bf16.View()));
}

// Sizes around every tile: rows in pairs, columns in threes.
TEST(BlockOpsF32, DotsAndUpdatesOfEverySmallBlock) {
  constexpr size_t kN = 48, kStride = 64;
  const std::vector<float> a = Narrow(RandomValues(3, 5 * kStride));
  const std::vector<float> b = Narrow(RandomValues(4, 8 * kStride));
  for (size_t na = 1; na <= 5; ++na) {
    for (size_t nb = 1; nb <= 8; ++nb) {
      std::vector<float> acc(na * nb * kLanes, 0.25f);
      DotBlockF32(a.data(), kStride, na, b.data(), kStride, nb, kN, acc.data());
      for (size_t i = 0; i < na; ++i) {
        for (size_t j = 0; j < nb; ++j) {
          double expected = 0.25 * kLanes;
          for (size_t e = 0; e < kN; ++e) {
            expected += static_cast<double>(a[i * kStride + e]) * b[j * kStride + e];
          }
          EXPECT_NEAR(SumLanesF32(&acc[(i * nb + j) * kLanes]), expected, 1e-5);
        }
      }
      const std::vector<float> coef = Narrow(RandomValues(5, na * nb));
      std::vector<float> z = Narrow(RandomValues(6, nb * kStride));
      const std::vector<float> before = z;
      UpdateBlockF32(a.data(), kStride, na, coef.data(), z.data(), kStride, nb, kN);
      for (size_t j = 0; j < nb; ++j) {
        for (size_t e = 0; e < kStride; ++e) {
          double expected = before[j * kStride + e];
          for (size_t i = 0; i < na && e < kN; ++i) {
            expected += static_cast<double>(coef[i * nb + j]) * a[i * kStride + e];
          }
          EXPECT_NEAR(z[j * kStride + e], expected, 1e-6) << j << " " << e;
        }
      }
    }
  }
}

}  // namespace
}  // namespace merganser::linalg
