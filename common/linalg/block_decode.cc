#include "common/linalg/block_decode.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/linalg/code_ops.h"
#include "common/tensor/float_codec.h"

namespace merganser {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::array<float, 256> MakeE4m3() {
  std::array<float, 256> values;
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code >> 3) & 15, mantissa = code & 7;
    float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
    if ((code & 0x7f) == 0x7f) value = kNan;
    values[static_cast<size_t>(code)] = (code & 0x80) != 0 ? -value : value;
  }
  return values;
}

// The upper half of a binary16.
std::array<float, 256> MakeE5m2() {
  std::array<float, 256> values;
  for (uint32_t code = 0; code < 256; ++code) {
    values[code] = HalfToFloat(static_cast<uint16_t>(code << 8));
  }
  return values;
}

// Codes that are decoded at a time.
constexpr uint64_t kAtOnce = 256;

// `n` floats, at most kAtOnce, as `dtype`.
void Write(const float* values, uint64_t n, DType dtype, std::byte* out) {
  std::array<uint16_t, kAtOnce> halves;
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, values, n * sizeof(float));
      return;
    case DType::kF16:
      for (uint64_t i = 0; i < n; ++i) halves[i] = DoubleToHalf(values[i]);
      break;
    default:
      linalg::RoundToBf16(values, n, halves.data());
      break;
  }
  std::memcpy(out, halves.data(), n * sizeof(uint16_t));
}

template <typename Bits>
Bits Load(const std::byte* at) {
  Bits bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

}  // namespace

const std::array<float, 256>& E4m3Values() {
  static const std::array<float, 256> values = MakeE4m3();
  return values;
}

const std::array<float, 256>& E5m2Values() {
  static const std::array<float, 256> values = MakeE5m2();
  return values;
}

const std::array<float, 16>& E2m1Values() {
  static constexpr std::array<float, 16> kValues = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,
                                                    4.0F,  6.0F,  -0.0F, -0.5F, -1.0F, -1.5F,
                                                    -2.0F, -3.0F, -4.0F, -6.0F};
  return kValues;
}

float ScaleValue(DType dtype, const std::byte* at) {
  switch (dtype) {
    case DType::kF32:
      return Load<float>(at);
    case DType::kF16:
      return HalfToFloat(Load<uint16_t>(at));
    case DType::kF8E8M0: {
      const auto exponent = static_cast<uint32_t>(*at);
      if (exponent == 255) return kNan;
      // 2^-127 is below the smallest normal float.
      return std::bit_cast<float>(exponent == 0 ? uint32_t{0x00400000} : exponent << 23);
    }
    default:
      return Bf16ToFloat(Load<uint16_t>(at));
  }
}

void DecodeScaled(DType coded, std::span<const std::byte> codes, float scale, DType dtype,
                  std::byte* out) {
  std::array<float, kAtOnce> values;
  for (uint64_t i = 0; i < codes.size(); i += kAtOnce) {
    const uint64_t n = std::min(kAtOnce, codes.size() - i);
    linalg::DecodeCodes(coded, reinterpret_cast<const uint8_t*>(codes.data()) + i, n, scale,
                        values.data());
    Write(values.data(), n, dtype, out);
    out += n * BytesPerElement(dtype);
  }
}

void DecodePairs(std::span<const std::byte> pairs, uint64_t first, uint64_t count, float scale,
                 DType dtype, std::byte* out) {
  std::array<uint8_t, kAtOnce> codes;
  std::array<float, kAtOnce> values;
  for (uint64_t i = 0; i < count; i += kAtOnce) {
    const uint64_t n = std::min(kAtOnce, count - i);
    for (uint64_t k = 0; k < n; ++k) {
      const uint64_t at = first + i + k;
      codes[k] = static_cast<uint8_t>(static_cast<uint32_t>(pairs[at / 2]) >> (at % 2 * 4) & 15);
    }
    linalg::DecodeCodes(DType::kF4, codes.data(), n, scale, values.data());
    Write(values.data(), n, dtype, out);
    out += n * BytesPerElement(dtype);
  }
}

}  // namespace merganser
