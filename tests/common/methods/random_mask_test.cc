#include "common/linalg/random_mask.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/linalg/kernels.h"

namespace merganser {
namespace {

// Evaluated with Python's integers.
TEST(RandomMaskTest, IsWhatTheHeaderDefines) {
  EXPECT_EQ(RandomMask(0u, 0, "").Uniform(0), 0.4468064911471382);
  EXPECT_EQ(RandomMask(0u, 0, "t").Uniform(0), 0.04633184489735753);
  EXPECT_EQ(RandomMask(0u, 0, "t").Uniform(1), 0.07912150407975405);
  EXPECT_EQ(RandomMask(7u, 0, "t").Uniform(0), 0.08754396932968467);
  EXPECT_EQ(RandomMask(0u, 1, "t").Uniform(0), 0.6144523390357786);
  EXPECT_EQ(
      RandomMask(9007199254740992u, 3, "model.layers.0.mlp.up_proj.weight").Uniform(123456789012),
      0.5603038591836355);
  EXPECT_EQ(RandomMask(1u, 1, "größe").Uniform(5), 0.6840267785589655);
}

TEST(RandomMaskTest, KeepsAShareAsProbable) {
  constexpr uint64_t kElements = 1'000'000;
  for (const double p : {0.001, 0.1, 0.5, 0.9}) {
    const RandomMask random(3, 1, "model.layers.7.mlp.up_proj.weight");
    uint64_t kept = 0;
    for (uint64_t e = 0; e < kElements; ++e) kept += random.Keeps(e, p);
    const double sigma = std::sqrt(kElements * p * (1 - p));
    EXPECT_NEAR(static_cast<double>(kept), kElements * p, 5 * sigma) << p;
  }
  const RandomMask random(0, 0, "");
  for (uint64_t e = 0; e < 1000; ++e) {
    EXPECT_FALSE(random.Keeps(e, 0));
    EXPECT_TRUE(random.Keeps(e, 1));
  }
}

TEST(RandomMaskTest, IntegersSayTheSame) {
  const RandomMask random(1, 2, "t");
  for (const double p : {0.0, 0x1p-60, 1e-3, 1.0 / 3, 0.5, 1 - 0x1p-53, 1.0}) {
    const uint64_t threshold = RandomMask::Threshold(p);
    for (uint64_t e = 0; e < 10'000; ++e) {
      ASSERT_EQ(random.Draw(e) < threshold, random.Keeps(e, p)) << p << " " << e;
    }
  }
  // At the very border: u is p.
  const double u = random.Uniform(7);
  EXPECT_FALSE(random.Keeps(7, u));
  EXPECT_EQ(RandomMask::Threshold(u), random.Draw(7));
}

TEST(RandomMaskTest, BlocksAreTheElementsOnEveryInstructionSet) {
  const RandomMask random(11, 4, "t");
  const uint64_t threshold = RandomMask::Threshold(0.3);
  for (const std::string_view name : AvailableSimd()) {
    ASSERT_TRUE(ForceSimd(name).ok());
    for (const size_t n : {0, 1, 2, 3, 7, 8, 9, 16, 17, 1000}) {
      for (const uint64_t first : {uint64_t{0}, uint64_t{123456789012}, ~uint64_t{0} - 2000}) {
        std::vector<uint64_t> draws(n + 1, 77);
        std::vector<double> x(n + 1, 0.5);
        random.Draws(first, n, draws.data());
        random.Drop(first, threshold, n, x.data());
        for (size_t e = 0; e < n; ++e) {
          ASSERT_EQ(draws[e], random.Draw(first + e)) << name << " " << n << " " << e;
          ASSERT_EQ(x[e], random.Draw(first + e) < threshold ? 0.5 : 0) << name << " " << e;
        }
        EXPECT_EQ(draws.back(), 77u);
        EXPECT_EQ(x.back(), 0.5);
      }
    }
  }
  ASSERT_TRUE(ForceSimd(AvailableSimd().front()).ok());
}

// Masks of two keys agree where two independent coins would.
TEST(RandomMaskTest, SeedModelAndTensorGiveIndependentMasks) {
  constexpr uint64_t kElements = 100'000;
  const RandomMask one(5, 2, "a.weight");
  const std::vector<RandomMask> others = {
      RandomMask(6, 2, "a.weight"), RandomMask(5, 3, "a.weight"), RandomMask(5, 2, "b.weight"),
      RandomMask(2, 5, "a.weight")};
  for (const RandomMask& other : others) {
    uint64_t equal = 0;
    double product = 0;
    for (uint64_t e = 0; e < kElements; ++e) {
      equal += one.Keeps(e, 0.5) == other.Keeps(e, 0.5);
      product += (one.Uniform(e) - 0.5) * (other.Uniform(e) - 0.5);
    }
    EXPECT_NEAR(static_cast<double>(equal), kElements / 2.0, 5 * std::sqrt(kElements / 4.0));
    EXPECT_NEAR(product / kElements, 0, 5 / 12.0 / std::sqrt(kElements));
  }
}

TEST(RandomMaskTest, NeighboursAreIndependent) {
  constexpr uint64_t kElements = 100'000;
  const RandomMask random(0, 0, "t");
  for (const uint64_t lag : {1, 2, 64, 1024, 65536}) {
    double product = 0;
    for (uint64_t e = 0; e < kElements; ++e) {
      product += (random.Uniform(e) - 0.5) * (random.Uniform(e + lag) - 0.5);
    }
    EXPECT_NEAR(product / kElements, 0, 5 / 12.0 / std::sqrt(kElements)) << lag;
  }
}

}  // namespace
}  // namespace merganser
