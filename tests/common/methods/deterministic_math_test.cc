#include "common/methods/deterministic_math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace merganser {
namespace {

// The reference is evaluated in long double (64 bits of mantissa), so that its
// own error does not count against the bound.
static_assert(std::numeric_limits<long double>::digits >= 64);

constexpr uint64_t kSeed = 20260224;

// From the smallest subnormal to the largest finite number, dense near 1.
std::vector<double> LogArguments() {
  std::vector<double> xs = {std::numeric_limits<double>::denorm_min(),
                            std::numeric_limits<double>::min(),
                            std::numeric_limits<double>::max(),
                            std::sqrt(0.5),
                            std::sqrt(2.0),
                            std::nextafter(1.0, 0.0),
                            std::nextafter(1.0, 2.0)};
  for (int e = -1074; e <= 1023; e += 3) xs.push_back(std::ldexp(1.0, e));
  for (int e = 1; e <= 52; ++e) {
    xs.push_back(1 + std::ldexp(1.0, -e));
    xs.push_back(1 - std::ldexp(1.0, -e));
  }
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 20'000; ++i) {
    xs.push_back(std::bit_cast<double>(random() % 0x7FE0000000000000ull + 1));
    xs.push_back(0.4 + 1.2 * static_cast<double>(random() >> 11) * 0x1p-53);
  }
  return xs;
}

TEST(DeterministicMathTest, LogIsWithinItsStatedErrorOverTheWholeRange) {
  for (const double x : LogArguments()) {
    const long double expected = std::log(static_cast<long double>(x));
    const long double error = std::fabs(DeterministicLog(x) - expected);
    const bool near_one = x > 0.5 && x < 2;
    EXPECT_LT(error, near_one ? std::fmax(1e-16L, 1e-15L * std::fabs(expected))
                              : 1e-15L * std::fabs(expected))
        << "x " << x << " seed " << kSeed;
  }
}

TEST(DeterministicMathTest, LogOfOneIsExactlyZero) { EXPECT_EQ(DeterministicLog(1.0), 0.0); }

TEST(DeterministicMathTest, LogOfAPowerOfTwoIsItsExponentTimesLogTwo) {
  for (int e = -1022; e <= 1023; ++e) {
    EXPECT_NEAR(DeterministicLog(std::ldexp(1.0, e)), e * 0.6931471805599453, 1.2e-13) << e;
  }
}

TEST(DeterministicMathTest, ExpIsWithinItsStatedErrorOverTheWholeRange) {
  std::vector<double> xs = {0.0, -0.0, 1e-300, -1e-300, 1.0, -1.0, 700.0, -700.0};
  for (int i = -7000; i <= 7000; ++i) xs.push_back(i * 0.1);
  // Half-way cases of the range reduction.
  for (int k = -1009; k <= 1009; ++k) xs.push_back((k + 0.5) * 0.6931471805599453);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 20'000; ++i) {
    xs.push_back((static_cast<double>(random() >> 11) * 0x1p-53 - 0.5) * 1400);
  }
  for (const double x : xs) {
    const long double expected = std::exp(static_cast<long double>(x));
    EXPECT_LT(std::fabs(DeterministicExp(x) - expected), 1e-15L * expected)
        << "x " << x << " seed " << kSeed;
  }
}

TEST(DeterministicMathTest, ExpIsMonotonicAcrossTheSeamsOfItsReduction) {
  for (int k = -1000; k <= 1000; ++k) {
    const double seam = (k + 0.5) * 0.6931471805599453;
    EXPECT_LT(DeterministicExp(seam - 1e-9 * std::fabs(seam)),
              DeterministicExp(seam + 1e-9 * std::fabs(seam)))
        << k;
  }
}

TEST(DeterministicMathTest, PowIsWithinItsStatedError) {
  std::vector<double> xs = {
      1e-300, 1e-100, 1e-16, 1e-8, 0.5, 0.7071067811865476, 1 - 1e-9, std::nextafter(1.0, 0.0)};
  for (int i = 1; i < 500; ++i) xs.push_back(i / 500.0);
  for (const double x : xs) {
    for (const double y : {1e-12, 0.01, 0.3, 0.7, 0.85, 1.0, 1.5, 2.0, 7.0, 10.0}) {
      const long double exponent = y * std::log(static_cast<long double>(x));
      const double found = DeterministicPow(x, y);
      if (exponent < -700) {
        EXPECT_LT(found, 1e-300) << x << "^" << y;
        continue;
      }
      const long double expected =
          std::pow(static_cast<long double>(x), static_cast<long double>(y));
      EXPECT_LT(std::fabs(found - expected),
                1e-15L * std::fmax(1.0L, std::fabs(exponent)) * expected)
          << x << "^" << y;
    }
  }
}

TEST(DeterministicMathTest, PowAtItsCorners) {
  EXPECT_EQ(DeterministicPow(0, 0), 1);
  EXPECT_EQ(DeterministicPow(0, 0.7), 0);
  EXPECT_EQ(DeterministicPow(1, 0), 1);
  EXPECT_EQ(DeterministicPow(1, 9.5), 1);
  EXPECT_EQ(DeterministicPow(0.25, 0), 1);
  EXPECT_EQ(DeterministicPow(std::numeric_limits<double>::denorm_min(), 10), 0);
}

}  // namespace
}  // namespace merganser
