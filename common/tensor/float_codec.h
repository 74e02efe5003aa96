// Scalar conversions between float formats: the reference that the vector
// kernels are held against. Widening is exact. Narrowing goes from double to
// the target in one rounding, to nearest, ties to even; a detour over float
// would round twice and spoil values just beside a tie.
#ifndef MERGANSER_COMMON_TENSOR_FLOAT_CODEC_H_
#define MERGANSER_COMMON_TENSOR_FLOAT_CODEC_H_

#include <bit>
#include <cstdint>

namespace merganser {

// The float with the bfloat16 pattern `bits`: exact, NaN payloads included.
inline constexpr float Bf16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// The float with the IEEE binary16 pattern `bits`: exact, subnormals and NaN
// payloads included.
inline constexpr float HalfToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + (127 - 15)) << 23) | (mantissa << 13));
  }
  // A subnormal half is mantissa * 2^-24, a normal float.
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

// `value` rounded once to the IEEE-like format of one sign bit, `kExponentBits`
// and `kMantissaBits`; the pattern stands in the low bits. What rounds beyond
// the largest finite number becomes infinity (the caller checks), what is at
// most half of the smallest subnormal a zero of its sign. A NaN stays a NaN:
// quiet, with the leading bits of its payload.
template <int kExponentBits, int kMantissaBits>
inline constexpr uint32_t RoundDouble(double value) {
  constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  constexpr uint64_t kInfinity = ((uint64_t{1} << kExponentBits) - 1) << kMantissaBits;
  constexpr uint64_t kQuietBit = uint64_t{1} << (kMantissaBits - 1);
  constexpr int kDropped = 52 - kMantissaBits;
  constexpr uint64_t kFraction = (uint64_t{1} << 52) - 1;

  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const auto sign = static_cast<uint32_t>(bits >> 63) << (kExponentBits + kMantissaBits);
  const int biased = static_cast<int>((bits >> 52) & 0x7ff);
  const uint64_t fraction = bits & kFraction;

  if (biased == 0x7ff) {
    const uint64_t payload = fraction == 0 ? 0 : kQuietBit | (fraction >> kDropped);
    return sign | static_cast<uint32_t>(kInfinity | payload);
  }
  const int exponent = biased - 1023;  // of a normal double; subnormal ones are far too small
  if (exponent > kBias) return sign | static_cast<uint32_t>(kInfinity);

  // A target subnormal has a fixed last place, so more bits are dropped.
  const bool normal = exponent >= 1 - kBias;
  const int shift = normal ? kDropped : kDropped + (1 - kBias - exponent);
  if (shift > 53) return sign;
  const uint64_t significand = fraction | (uint64_t{1} << 52);
  const uint64_t kept = significand >> shift;
  const uint64_t rest = significand & ((uint64_t{1} << shift) - 1);
  const uint64_t half = uint64_t{1} << (shift - 1);
  const uint64_t rounded = kept + ((rest > half || (rest == half && (kept & 1) != 0)) ? 1 : 0);
  // The implicit one adds the last step of the exponent, and so does a carry out
  // of the mantissa: up to the smallest normal number below, to infinity above.
  const uint64_t base = normal ? static_cast<uint64_t>(exponent + kBias - 1) << kMantissaBits : 0;
  return sign | static_cast<uint32_t>(base + rounded);
}

inline constexpr uint16_t DoubleToBf16(double value) {
  return static_cast<uint16_t>(RoundDouble<8, 7>(value));
}
inline constexpr uint16_t DoubleToHalf(double value) {
  return static_cast<uint16_t>(RoundDouble<5, 10>(value));
}
// The bits of a binary32.
inline constexpr uint32_t DoubleToFloatBits(double value) { return RoundDouble<8, 23>(value); }

}  // namespace merganser

#endif  // MERGANSER_COMMON_TENSOR_FLOAT_CODEC_H_
