// Formats of few bits against the formulas of their specifications.
#include "common/linalg/block_decode.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace merganser {
namespace {

// A binary number of one sign bit, `exponents` and `mantissas` bits: (-1)^s 2^(e - bias) (1 + m /
// M), and 2^(1 - bias) m / M where e is 0.
double Value(int code, int exponents, int mantissas) {
  const int steps = 1 << mantissas;
  const int bias = (1 << (exponents - 1)) - 1;
  const int mantissa = code % steps;
  const int exponent = code / steps % (1 << exponents);
  const double fraction = static_cast<double>(mantissa) / steps;
  const double size = exponent == 0 ? std::pow(2.0, 1 - bias) * fraction
                                    : std::pow(2.0, exponent - bias) * (1 + fraction);
  return code / steps / (1 << exponents) == 1 ? -size : size;
}

TEST(BlockDecode, EveryCodeOfE4m3) {
  for (int code = 0; code < 256; ++code) {
    const float value = E4m3Values()[static_cast<size_t>(code)];
    if (code % 128 == 127) {
      EXPECT_TRUE(std::isnan(value)) << code;
      continue;
    }
    EXPECT_EQ(value, Value(code, 4, 3)) << code;
    EXPECT_EQ(std::signbit(value), code >= 128) << code;
  }
  EXPECT_EQ(E4m3Values()[0x7e], 448);
  EXPECT_EQ(E4m3Values()[0x38], 1);
  EXPECT_EQ(E4m3Values()[0x81], -0.001953125F);
}

TEST(BlockDecode, EveryCodeOfE5m2) {
  for (int code = 0; code < 256; ++code) {
    const float value = E5m2Values()[static_cast<size_t>(code)];
    const int size = code % 128;
    if (size > 0x7c) {
      EXPECT_TRUE(std::isnan(value)) << code;
    } else if (size == 0x7c) {
      EXPECT_TRUE(std::isinf(value)) << code;
    } else {
      EXPECT_EQ(value, Value(code, 5, 2)) << code;
    }
    if (size <= 0x7c) {
      EXPECT_EQ(std::signbit(value), code >= 128) << code;
    }
  }
  EXPECT_EQ(E5m2Values()[0x7b], 57344);
  EXPECT_EQ(E5m2Values()[0x01], std::pow(2.0F, -16));
}

TEST(BlockDecode, EveryCodeOfE2m1) {
  for (int code = 0; code < 16; ++code) {
    const float value = E2m1Values()[static_cast<size_t>(code)];
    EXPECT_EQ(value, Value(code, 2, 1)) << code;
    EXPECT_EQ(std::signbit(value), code >= 8) << code;
  }
  EXPECT_EQ(E2m1Values()[7], 6);
}

template <typename T>
float Scale(DType dtype, T bits) {
  std::byte bytes[sizeof(T) + 1];
  std::memcpy(bytes + 1, &bits, sizeof bits);  // at an odd place
  return ScaleValue(dtype, bytes + 1);
}

TEST(BlockDecode, ScalesOfEveryType) {
  for (int byte = 0; byte < 255; ++byte) {
    EXPECT_EQ(Scale(DType::kF8E8M0, static_cast<uint8_t>(byte)), std::pow(2.0, byte - 127)) << byte;
  }
  EXPECT_TRUE(std::isnan(Scale(DType::kF8E8M0, uint8_t{255})));
  EXPECT_EQ(Scale(DType::kF32, 0.0123F), 0.0123F);
  EXPECT_EQ(Scale(DType::kBF16, uint16_t{0x3fc0}), 1.5F);
  EXPECT_EQ(Scale(DType::kF16, uint16_t{0x3e00}), 1.5F);
  EXPECT_EQ(Scale(DType::kF16, uint16_t{0x0001}), std::pow(2.0F, -24));
}

std::vector<std::byte> AllCodes() {
  std::vector<std::byte> codes(256);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>(i);
  return codes;
}

// To nearest even among the numbers of `mantissas` bits, by the definition.
double Nearest(double value, int mantissas, int least_exponent) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), least_exponent);
  const double step = std::ldexp(1.0, exponent - mantissas);
  return std::nearbyint(value / step) * step;
}

TEST(BlockDecode, ProductsAreRoundedToFloatAndThenToTheType) {
  const std::vector<std::byte> codes = AllCodes();
  for (const float scale : {1.0F, 0.0071F, 1.0078125F, 3.0e-39F, 1.0e-40F, 1.9e35F, 2.5e-7F}) {
    std::vector<std::byte> f32(4 * 256), bf16(2 * 256), f16(2 * 256);
    DecodeScaled(DType::kF8E4M3, codes, scale, DType::kF32, f32.data());
    DecodeScaled(DType::kF8E4M3, codes, scale, DType::kBF16, bf16.data());
    DecodeScaled(DType::kF8E4M3, codes, scale, DType::kF16, f16.data());
    for (size_t i = 0; i < codes.size(); ++i) {
      float single;
      uint16_t brain, half;
      std::memcpy(&single, f32.data() + 4 * i, 4);
      std::memcpy(&brain, bf16.data() + 2 * i, 2);
      std::memcpy(&half, f16.data() + 2 * i, 2);
      const float brain_value = std::bit_cast<float>(static_cast<uint32_t>(brain) << 16);
      if (i % 128 == 127) {
        EXPECT_TRUE(std::isnan(single) && std::isnan(brain_value)) << i;
        EXPECT_GT(half & 0x7fff, 0x7c00) << i;
        continue;
      }
      const double product = Value(static_cast<int>(i), 4, 3) * static_cast<double>(scale);
      double wanted = Nearest(product, 23, -126);
      if (std::abs(wanted) > std::numeric_limits<float>::max())
        wanted = product > 0 ? HUGE_VAL : -HUGE_VAL;
      EXPECT_EQ(single, wanted) << i << " " << scale;
      double narrow = Nearest(wanted, 7, -126);
      if (std::abs(narrow) > 3.39e38) narrow = wanted > 0 ? HUGE_VAL : -HUGE_VAL;
      EXPECT_EQ(brain_value, narrow) << i << " " << scale;
      EXPECT_EQ(std::signbit(brain_value), i >= 128) << i;
      double small = Nearest(wanted, 10, -14);
      if (std::abs(small) > 65504) small = wanted > 0 ? HUGE_VAL : -HUGE_VAL;
      const uint16_t magnitude = half & 0x7fff;
      const double half_value = magnitude == 0x7c00 ? HUGE_VAL : std::abs(Value(magnitude, 5, 10));
      EXPECT_EQ(half_value, std::abs(small)) << i << " " << scale;
    }
  }
}

TEST(BlockDecode, TiesGoToEven) {
  // 1.5 * (1 + 2^-7) lies between two numbers of bfloat16, 193 and 194 of 2^-7; so does 2.5 times
  // it.
  const std::byte code{0x3c};
  uint16_t bits = 0;
  DecodeScaled(DType::kF8E4M3, {&code, 1}, 1.0078125F, DType::kBF16,
               reinterpret_cast<std::byte*>(&bits));
  EXPECT_EQ(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16), 194.0F / 128);
}

TEST(BlockDecode, PairsBeginWithTheLowerHalf) {
  const std::vector<std::byte> pairs = {std::byte{0x71}, std::byte{0x9a}, std::byte{0x05}};
  // 0x71: 0.5, 6. 0x9a: -1, -0.5. 0x05: 3, 0.
  const std::vector<float> wanted = {0.5F, 6, -1, -0.5F, 3, 0};
  for (uint64_t first = 0; first < 6; ++first) {
    for (uint64_t count = 0; first + count <= 6; ++count) {
      std::vector<float> out(count);
      DecodePairs(pairs, first, count, 0.25F, DType::kF32,
                  reinterpret_cast<std::byte*>(out.data()));
      for (uint64_t i = 0; i < count; ++i) EXPECT_EQ(out[i], wanted[first + i] / 4);
    }
  }
}

}  // namespace
}  // namespace merganser
