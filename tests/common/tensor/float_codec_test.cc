#include "common/tensor/float_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace merganser {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// The value of a pattern, from the definition of the format.
double ValueOf(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
  const double sign = (bits >> (exponent_bits + mantissa_bits)) != 0 ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp((1u << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

template <typename Narrow, typename Widen>
void EveryPatternRoundTrips(int exponent_bits, int mantissa_bits, Narrow narrow, Widen widen) {
  const uint32_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = widen(static_cast<uint16_t>(bits));
    const uint32_t magnitude = bits & 0x7fff;
    if (magnitude > infinity) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_EQ(narrow(value), bits | (1u << (mantissa_bits - 1))) << bits;  // quiet
      continue;
    }
    if (magnitude == infinity) {
      EXPECT_EQ(value, bits == magnitude ? kInf : -kInf);
    } else {
      EXPECT_EQ(value, ValueOf(bits, exponent_bits, mantissa_bits)) << bits;
    }
    EXPECT_EQ(std::signbit(value), bits != magnitude) << bits;
    ASSERT_EQ(narrow(value), bits);
  }
}

// Between each two neighbours: the tie goes to the even one, and the doubles
// right beside the tie to their own side, which rounding to float first loses.
template <typename Narrow, typename Widen>
void EveryTieIsDecidedOnce(int exponent_bits, int mantissa_bits, Narrow narrow, Widen widen) {
  const uint32_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
  for (uint32_t low = 0; low < infinity; ++low) {
    const double a = widen(static_cast<uint16_t>(low));
    const double b = low + 1 == infinity ? std::ldexp(1.0, 1 << (exponent_bits - 1))
                                         : double{widen(static_cast<uint16_t>(low + 1))};
    const double tie = a + (b - a) / 2;
    const uint32_t even = low % 2 == 0 ? low : low + 1;
    ASSERT_EQ(narrow(tie), even) << low;
    ASSERT_EQ(narrow(-tie), even | 0x8000) << low;
    ASSERT_EQ(narrow(std::nextafter(tie, -kInf)), low) << low;
    ASSERT_EQ(narrow(std::nextafter(tie, kInf)), low + 1) << low;
    ASSERT_EQ(narrow(-std::nextafter(tie, kInf)), (low + 1) | 0x8000) << low;
  }
}

TEST(FloatCodec, EveryBf16PatternRoundTrips) {
  EveryPatternRoundTrips(8, 7, DoubleToBf16, Bf16ToFloat);
}
TEST(FloatCodec, EveryHalfPatternRoundTrips) {
  EveryPatternRoundTrips(5, 10, DoubleToHalf, HalfToFloat);
}
TEST(FloatCodec, EveryBf16TieIsDecidedOnce) {
  EveryTieIsDecidedOnce(8, 7, DoubleToBf16, Bf16ToFloat);
}
TEST(FloatCodec, EveryHalfTieIsDecidedOnce) {
  EveryTieIsDecidedOnce(5, 10, DoubleToHalf, HalfToFloat);
}

TEST(FloatCodec, ADetourOverFloatWouldRoundTwice) {
  const double beside_tie = 1 + 0x1p-8 + 0x1p-40;  // just above the tie of 1 and its neighbour
  EXPECT_EQ(DoubleToBf16(beside_tie), 0x3f81);
  EXPECT_EQ(DoubleToBf16(static_cast<float>(beside_tie)), 0x3f80);
  const double half_tie = 1 + 0x1p-11 + 0x1p-40;
  EXPECT_EQ(DoubleToHalf(half_tie), 0x3c01);
  EXPECT_EQ(DoubleToHalf(static_cast<float>(half_tie)), 0x3c00);
}

TEST(FloatCodec, OverflowBeginsHalfAStepAboveTheLargest) {
  EXPECT_EQ(DoubleToHalf(65504), 0x7bff);
  EXPECT_EQ(DoubleToHalf(std::nextafter(65520.0, 0)), 0x7bff);
  EXPECT_EQ(DoubleToHalf(65520), 0x7c00);
  EXPECT_EQ(DoubleToHalf(-65520), 0xfc00);
  const double bf16_limit = 0x1.ffp127;
  EXPECT_EQ(DoubleToBf16(std::nextafter(bf16_limit, 0)), 0x7f7f);
  EXPECT_EQ(DoubleToBf16(bf16_limit), 0x7f80);
  EXPECT_EQ(DoubleToFloatBits(std::nextafter(0x1.ffffffp127, 0)), 0x7f7fffffu);
  EXPECT_EQ(DoubleToFloatBits(0x1.ffffffp127), 0x7f800000u);
  EXPECT_EQ(DoubleToBf16(std::numeric_limits<double>::max()), 0x7f80);
  EXPECT_EQ(DoubleToBf16(-kInf), 0xff80);
}

TEST(FloatCodec, TinyValuesGoToZeroOfTheirSignAtHalfOfTheSmallest) {
  EXPECT_EQ(DoubleToHalf(0x1p-25), 0);
  EXPECT_EQ(DoubleToHalf(std::nextafter(0x1p-25, 1)), 1);
  EXPECT_EQ(DoubleToHalf(-0x1p-25), 0x8000);
  EXPECT_EQ(DoubleToBf16(0x1p-134), 0);
  EXPECT_EQ(DoubleToBf16(std::nextafter(0x1p-134, 1)), 1);
  EXPECT_EQ(DoubleToFloatBits(0x1p-150), 0u);
  EXPECT_EQ(DoubleToFloatBits(std::nextafter(0x1p-150, 1)), 1u);
  EXPECT_EQ(DoubleToBf16(std::numeric_limits<double>::denorm_min()), 0);
  EXPECT_EQ(DoubleToBf16(-std::numeric_limits<double>::min()), 0x8000);
  EXPECT_EQ(DoubleToBf16(-0.0), 0x8000);
}

TEST(FloatCodec, ANanStaysANan) {
  // A payload that lies only in the bits which are dropped must not leave infinity.
  const double nan = std::bit_cast<double>(uint64_t{0x7ff0000000000001});
  EXPECT_EQ(DoubleToBf16(nan), 0x7fc0);
  EXPECT_EQ(DoubleToHalf(nan), 0x7e00);
  EXPECT_EQ(DoubleToFloatBits(nan), 0x7fc00000u);
}

TEST(FloatCodec, FloatBitsAgreeWithTheHardware) {
  constexpr uint64_t kSeed = 20240611;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 1'000'000; ++i) {
    uint64_t bits = random();
    // Half of them near float's range, so that ties, subnormals and overflow occur.
    if (i % 2 == 0) {
      const uint64_t exponent = 1023 - 160 + random() % 300;
      bits = (bits & 0x800fffffffffffff) | (exponent << 52);
      if (i % 4 == 0) bits &= ~uint64_t{0x0fffffff};  // exact ties
    }
    const double value = std::bit_cast<double>(bits);
    if (std::isnan(value)) continue;
    ASSERT_EQ(DoubleToFloatBits(value), std::bit_cast<uint32_t>(static_cast<float>(value)))
        << std::hexfloat << value;
  }
}

static_assert(DoubleToBf16(1.0) == 0x3f80);
static_assert(HalfToFloat(0x3c00) == 1.0f);

}  // namespace
}  // namespace merganser
