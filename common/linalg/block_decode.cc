#include "common/linalg/block_decode.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

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

uint16_t FloatToBf16(float value) {
  if (std::isnan(value)) return DoubleToBf16(value);
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <typename Value>
void Put(Value value, std::byte* at) {
  std::memcpy(at, &value, sizeof value);
}

// value(i) of `count` elements, as `dtype`.
template <typename ValueOf>
void Write(uint64_t count, DType dtype, std::byte* out, ValueOf value) {
  switch (dtype) {
    case DType::kF32:
      for (uint64_t i = 0; i < count; ++i) Put(value(i), out + i * sizeof(float));
      return;
    case DType::kF16:
      for (uint64_t i = 0; i < count; ++i) {
        Put(DoubleToHalf(value(i)), out + i * sizeof(uint16_t));
      }
      return;
    default:
      for (uint64_t i = 0; i < count; ++i) Put(FloatToBf16(value(i)), out + i * sizeof(uint16_t));
      return;
  }
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

void DecodeScaled(const std::array<float, 256>& values, std::span<const std::byte> codes,
                  float scale, DType dtype, std::byte* out) {
  Write(codes.size(), dtype, out,
        [&](uint64_t i) { return values[static_cast<size_t>(codes[i])] * scale; });
}

void DecodePairs(std::span<const std::byte> pairs, uint64_t first, uint64_t count, float scale,
                 DType dtype, std::byte* out) {
  std::array<float, 16> scaled;
  for (size_t code = 0; code < scaled.size(); ++code) scaled[code] = E2m1Values()[code] * scale;
  Write(count, dtype, out, [&](uint64_t i) {
    const auto pair = static_cast<uint32_t>(pairs[(first + i) / 2]);
    return scaled[(first + i) % 2 == 0 ? pair & 15 : pair >> 4];
  });
}

}  // namespace merganser
