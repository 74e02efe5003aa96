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

// Angles of all sizes, among them the doubles next to multiples of pi / 2, where
// what is left after the reduction is smallest.
std::vector<double> Angles() {
  std::vector<double> xs = {1e-300, 1e-20, 1e-8, 0.5, 1.0, 3.0, 1e6, 999999.25};
  for (int k = 1; k <= 636'000; k += k < 1000 ? 1 : 997) {
    const auto multiple = static_cast<double>(k * 1.57079632679489661923132169163975144L);
    xs.push_back(multiple);
    xs.push_back(std::nextafter(multiple, 0.0));
    xs.push_back(std::nextafter(multiple, 1e9));
    xs.push_back(multiple + 0.7853981633974483);
  }
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 20'000; ++i) {
    const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
    xs.push_back(unit * 6.3);
    xs.push_back(unit * 1e6);
  }
  const size_t count = xs.size();
  for (size_t i = 0; i < count; ++i) xs.push_back(-xs[i]);
  return xs;
}

TEST(DeterministicMathTest, SinAndCosAreWithinTheirStatedErrorNearTheirZerosToo) {
  // The reference reduces its argument with a pi of 66 bits or more; beside a
  // zero its own error is at most |x| * 2^-66.
  for (const double x : Angles()) {
    const long double wide = x, own = std::fabs(wide) * 0x1p-66L;
    const long double sine = std::sin(wide), cosine = std::cos(wide);
    EXPECT_LE(std::fabs(DeterministicSin(x) - sine), 1e-15L * std::fabs(sine) + own)
        << "x " << x << " seed " << kSeed;
    EXPECT_LE(std::fabs(DeterministicCos(x) - cosine), 1e-15L * std::fabs(cosine) + own)
        << "x " << x << " seed " << kSeed;
  }
  EXPECT_EQ(DeterministicSin(0), 0);
  EXPECT_EQ(DeterministicCos(0), 1);
}

// From a table of 40 digits: the last arguments are the hard cases of the
// reduction, for which long double may fail.
TEST(DeterministicMathTest, SinCosAndAcosAgainstKnownValues) {
  struct {
    double x, sine, cosine;
  } const angles[] = {
      {0x1.999999999999ap-4, 0x1.98eaecb8bcb2cp-4, 0x1.fd712f9a817c1p-1},
      {0x1.0000000000000p+0, 0x1.aed548f090ceep-1, 0x1.14a280fb5068cp-1},
      {0x1.921fb54442d18p+1, 0x1.1a62633145c07p-53, -0x1.0000000000000p+0},
      {0x1.921fb54442d18p+0, 0x1.0000000000000p+0, 0x1.1a62633145c07p-54},
      {0x1.921fb54442d18p+2, -0x1.1a62633145c07p-52, 0x1.0000000000000p+0},
      {0x1.81cd6c8b43958p+13, -0x1.687d5890974a5p-1, 0x1.6b94c3bbe24b8p-1},
      {0x1.5ad1866666666p+19, 0x1.ff42073b02951p-1, 0x1.b8e59d4e9e42bp-5},
      {0x1.e848000000000p+19, -0x1.6664b2568d867p-2, 0x1.df9df9906d32cp-1},
      {0x1.17e2800000000p+18, 0x1.6a09e9e47efe7p-1, 0x1.6a09e2eb68729p-1},
      {0x1.6300000000000p+8, -0x1.f9bd0307d1de3p-16, -0x1.fffffffc18e4cp-1},
      {0x1.9639000000000p+16, -0x1.40efdf1eb8de7p-16, 0x1.fffffffe6da77p-1},
      {0x1.9716e00000000p+19, 0x1.366f4e5709850p-19, -0x1.fffffffffa1e4p-1},
      {0x1.921fb54442d18p-1, 0x1.6a09e667f3bccp-1, 0x1.6a09e667f3bcdp-1},
  };
  for (const auto& one : angles) {
    EXPECT_LE(std::fabs(DeterministicSin(one.x) - one.sine), 1e-15 * std::fabs(one.sine)) << one.x;
    EXPECT_LE(std::fabs(DeterministicCos(one.x) - one.cosine), 1e-15 * std::fabs(one.cosine))
        << one.x;
  }
  struct {
    double x, angle;
  } const cosines[] = {
      {0x1.3333333333333p-2, 0x1.441f5ecbeef59p+0},  {0x1.ffbe76c8b4396p-1, 0x1.031088621c93ep-5},
      {-0x1.ffbe76c8b4396p-1, 0x1.8e137322ba5f3p+1}, {0x1.ffffffffffffep-1, 0x1.6a09e667f3bcdp-26},
      {-0x1.ffffffffffffep-1, 0x1.921fb5170194bp+1}, {-0x1.0000000000000p+0, 0x1.921fb54442d18p+1},
      {0x1.b7cdfd9d7bdbbp-34, 0x1.921fb543d4de0p+0}, {0x1.6a09e667f3bcdp-1, 0x1.921fb54442d18p-1},
  };
  for (const auto& one : cosines) {
    EXPECT_LE(std::fabs(DeterministicAcos(one.x) - one.angle), 1e-15 * one.angle) << one.x;
  }
}

TEST(DeterministicMathTest, AcosIsWithinItsStatedErrorNearBothEnds) {
  std::vector<double> xs = {0.0, 0.5, -0.5, 0.9995, -0.9995, 1.0, -1.0};
  for (int e = 1; e <= 53; ++e) {
    xs.push_back(1 - std::ldexp(1.0, -e));
    xs.push_back(std::ldexp(1.0, -e) - 1);
    xs.push_back(std::ldexp(1.0, -e));
    xs.push_back(-std::ldexp(1.0, -e));
  }
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 40'000; ++i) {
    xs.push_back(static_cast<double>(random() >> 11) * 0x1p-52 - 1);
  }
  for (const double x : xs) {
    const long double expected = std::acos(static_cast<long double>(x));
    EXPECT_LE(std::fabs(DeterministicAcos(x) - expected), 1e-15L * expected)
        << "x " << x << " seed " << kSeed;
  }
  EXPECT_EQ(DeterministicAcos(1), 0);
}

}  // namespace
}  // namespace merganser
