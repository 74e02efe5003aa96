#include "common/linalg/code_ops.h"

#include <algorithm>
#include <cstring>

#include "common/linalg/block_ops.h"
#include "common/linalg/simd_config.h"
#include "common/tensor/float_codec.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/code_ops.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using DF = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<DF>;
using DD = hn::Repartition<double, DF>;
using DB = hn::Rebind<uint8_t, DF>;
using DH = hn::Rebind<uint16_t, DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VD = hn::Vec<DD>;
constexpr size_t kFloats = HWY_LANES(float);
constexpr size_t kDoubles = HWY_LANES(double);
// Elements that are taken at once, whatever a vector holds.
constexpr size_t kStep = 16;
constexpr int32_t kMagnitudeBits = 0x7fffffff;
constexpr int32_t kInfinityBits = 0x7f800000;

// A sign, `kExponents` and `kMantissas` bits, the largest finite value at kMost.
template <int kExponents, int kMantissas, int32_t kMostBits>
struct Format {
  static constexpr int kBias = (1 << (kExponents - 1)) - 1;
  static constexpr int kShift = 23 - kMantissas;
  static constexpr int kSign = kExponents + kMantissas;
  static constexpr int32_t kMost = kMostBits;
  static constexpr int32_t kRebias = (127 - kBias) << 23;
  static constexpr int32_t kLeastNormal = (127 + 1 - kBias) << 23;
  // 2^(1 - bias - mantissas), the least value; and a float whose last bit is worth that.
  static constexpr int32_t kLeast = (127 + 1 - kBias - kMantissas) << 23;
  static constexpr int32_t kMagic = kLeast + (23 << 23);
};
using E4m3 = Format<4, 3, 0x43e00000>;  // 448
using E5m2 = Format<5, 2, 0x47600000>;  // 57344
using E2m1 = Format<2, 1, 0x40c00000>;  // 6

HWY_INLINE VI Set(int32_t value) { return hn::Set(DI(), value); }
HWY_INLINE VF AsFloat(VI bits) { return hn::BitCast(DF(), bits); }
HWY_INLINE VI AsBits(VF value) { return hn::BitCast(DI(), value); }

// The finite value of a code without its sign.
template <class F>
HWY_INLINE VF Magnitude(VI code) {
  const VI normal = hn::Add(hn::ShiftLeft<F::kShift>(code), Set(F::kRebias));
  const VF small = hn::Mul(hn::ConvertTo(DF(), code), AsFloat(Set(F::kLeast)));
  const auto is_small = hn::RebindMask(DF(), hn::Lt(code, Set(1 << (23 - F::kShift))));
  return hn::IfThenElse(is_small, small, AsFloat(normal));
}

template <class F>
HWY_INLINE VF Value(VI code) {
  const VI magnitude = hn::And(code, Set((1 << F::kSign) - 1));
  VI bits = AsBits(Magnitude<F>(magnitude));
  if constexpr (F::kSign == 7) {
    // Codes that are no finite numbers: E5M2 has infinities, E4M3 one NaN of either sign.
    const VI beyond = Set(F::kShift == 21 ? 0x7c : 0x7f);
    const VI nan = Set(kInfinityBits | 0x400000);
    const VI at = F::kShift == 21 ? Set(kInfinityBits) : nan;
    bits = hn::IfThenElse(hn::Eq(magnitude, beyond), at, bits);
    if constexpr (F::kShift == 21) {
      bits = hn::IfThenElse(hn::Gt(magnitude, beyond), nan, bits);
    }
  }
  const VI sign = hn::ShiftLeft<31 - F::kSign>(hn::AndNot(Set((1 << F::kSign) - 1), code));
  return AsFloat(hn::Or(bits, sign));
}

HWY_INLINE VI LoadCodes(const uint8_t* codes) {
  return hn::PromoteTo(DI(), hn::LoadU(DB(), codes));
}

template <class F>
void Decode(const uint8_t* codes, size_t n, float scale, float* out) {
  const VF by = hn::Set(DF(), scale);
  size_t i = 0;
  for (; i + kFloats <= n; i += kFloats) {
    hn::StoreU(hn::Mul(Value<F>(LoadCodes(codes + i)), by), DF(), out + i);
  }
  if (i == n) return;
  uint8_t in[kFloats] = {};
  float rest[kFloats];
  std::memcpy(in, codes + i, n - i);
  hn::StoreU(hn::Mul(Value<F>(LoadCodes(in)), by), DF(), rest);
  std::memcpy(out + i, rest, (n - i) * sizeof(float));
}

// Squares of 16 floats, added to lanes: lane i has that of element i.
struct SquareSums {
  VD sums[kStep / kDoubles];
  HWY_INLINE SquareSums() {
    for (VD& sum : sums) sum = hn::Zero(DD());
  }
  HWY_INLINE double Total() const {
    double all[kStep];
    for (size_t k = 0; k < kStep / kDoubles; ++k) hn::StoreU(sums[k], DD(), all + k * kDoubles);
    return SumLanes(all);
  }
};
HWY_INLINE VD Wide(const float* values) {
  return hn::PromoteTo(DD(), hn::LoadU(hn::Rebind<float, DD>(), values));
}
// Of 16 values.
HWY_INLINE void AddSquares(const float* values, SquareSums& energy) {
  for (size_t k = 0; k < kStep / kDoubles; ++k) {
    const VD value = Wide(values + k * kDoubles);
    energy.sums[k] = hn::MulAdd(value, value, energy.sums[k]);
  }
}

template <class F>
HWY_INLINE VI Code(VF value) {
  const VI bits = AsBits(value);
  const VI magnitude = hn::Min(hn::And(bits, Set(kMagnitudeBits)), Set(F::kMost));
  const VI magic = Set(F::kMagic);
  const VI small = hn::Sub(AsBits(hn::Add(AsFloat(magnitude), AsFloat(magic))), magic);
  const VI odd = hn::And(hn::ShiftRight<F::kShift>(magnitude), Set(1));
  const VI up = hn::Add(hn::Add(magnitude, odd), Set((1 << (F::kShift - 1)) - 1));
  const VI large = hn::ShiftRight<F::kShift>(hn::Sub(up, Set(F::kRebias)));
  const VI code = hn::IfThenElse(hn::Lt(magnitude, Set(F::kLeastNormal)), small, large);
  const VI sign = hn::And(hn::ShiftRight<31 - F::kSign>(bits), Set(1 << F::kSign));
  return hn::Or(code, sign);
}

template <class F>
HWY_INLINE void EncodeStep(const float* values, VF scale, VD wide_scale, uint8_t* codes,
                           SquareSums& error, SquareSums& energy) {
  HWY_ALIGN float back[kStep];
  for (size_t v = 0; v < kStep; v += kFloats) {
    const VI code = Code<F>(hn::Div(hn::LoadU(DF(), values + v), scale));
    hn::StoreU(hn::TruncateTo(DB(), hn::BitCast(hn::RebindToUnsigned<DI>(), code)), DB(),
               codes + v);
    hn::StoreU(Value<F>(code), DF(), back + v);
  }
  for (size_t k = 0; k < kStep / kDoubles; ++k) {
    const size_t at = k * kDoubles;
    const VD lost = hn::NegMulAdd(Wide(back + at), wide_scale, Wide(values + at));
    error.sums[k] = hn::MulAdd(lost, lost, error.sums[k]);
  }
  AddSquares(values, energy);
}

template <class F>
CodeSums Encode(const float* values, size_t n, float scale, uint8_t* codes) {
  const VF by = hn::Set(DF(), scale);
  const VD wide = hn::Set(DD(), static_cast<double>(scale));
  SquareSums error, energy;
  size_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    EncodeStep<F>(values + i, by, wide, codes + i, error, energy);
  }
  if (i < n) {
    float in[kStep] = {};
    uint8_t out[kStep];
    std::memcpy(in, values + i, (n - i) * sizeof(float));
    EncodeStep<F>(in, by, wide, out, error, energy);
    std::memcpy(codes + i, out, n - i);
  }
  return {error.Total(), energy.Total()};
}

void DecodeImpl(DType coded, const uint8_t* codes, size_t n, float scale, float* out) {
  if (coded == DType::kF4) return Decode<E2m1>(codes, n, scale, out);
  if (coded == DType::kF8E5M2) return Decode<E5m2>(codes, n, scale, out);
  Decode<E4m3>(codes, n, scale, out);
}

CodeSums EncodeImpl(DType coded, const float* values, size_t n, float scale, uint8_t* codes) {
  if (coded == DType::kF4) return Encode<E2m1>(values, n, scale, codes);
  if (coded == DType::kF8E5M2) return Encode<E5m2>(values, n, scale, codes);
  return Encode<E4m3>(values, n, scale, codes);
}

uint32_t LargestImpl(const float* values, size_t n) {
  VI most = hn::Zero(DI());
  size_t i = 0;
  for (; i + kFloats <= n; i += kFloats) {
    most = hn::Max(most, hn::And(AsBits(hn::LoadU(DF(), values + i)), Set(kMagnitudeBits)));
  }
  int32_t all[kFloats];
  hn::StoreU(most, DI(), all);
  int32_t largest = *std::max_element(all, all + kFloats);
  for (; i < n; ++i) {
    int32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    largest = std::max(largest, bits & kMagnitudeBits);
  }
  return static_cast<uint32_t>(largest);
}

double SquaresImpl(const float* values, size_t n) {
  SquareSums energy;
  for (size_t i = 0; i < n; i += kStep) {
    float rest[kStep] = {};
    const float* from = values + i;
    if (n - i < kStep) {
      std::memcpy(rest, from, (n - i) * sizeof(float));
      from = rest;
    }
    AddSquares(from, energy);
  }
  return energy.Total();
}

// The upper half of what is no NaN, in the lower one.
HWY_INLINE VI RoundedBf16(VI bits) {
  const VI odd = hn::And(hn::ShiftRight<16>(bits), Set(1));
  const VI up = hn::Add(bits, hn::Add(odd, Set(0x7fff)));
  return hn::And(hn::ShiftRight<16>(up), Set(0xffff));
}
HWY_INLINE bool AnyNan(VI bits) {
  return !hn::AllFalse(DI(), hn::Gt(hn::And(bits, Set(kMagnitudeBits)), Set(kInfinityBits)));
}

void RoundImpl(const float* values, size_t n, uint16_t* out) {
  size_t i = 0;
  for (; i + kFloats <= n; i += kFloats) {
    const VI bits = AsBits(hn::LoadU(DF(), values + i));
    if (AnyNan(bits)) {
      for (size_t k = 0; k < kFloats; ++k) out[i + k] = DoubleToBf16(values[i + k]);
      continue;
    }
    const auto halves = hn::BitCast(hn::RebindToUnsigned<DI>(), RoundedBf16(bits));
    hn::StoreU(hn::TruncateTo(DH(), halves), DH(), out + i);
  }
  for (; i < n; ++i) out[i] = DoubleToBf16(values[i]);
}

bool AreRoundedImpl(const float* values, const float* decoded, size_t n) {
  for (size_t i = 0; i < n; i += kFloats) {
    float left[kFloats] = {}, right[kFloats] = {};
    const float *a = values + i, *b = decoded + i;
    if (n - i < kFloats) {
      std::memcpy(left, a, (n - i) * sizeof(float));
      std::memcpy(right, b, (n - i) * sizeof(float));
      a = left;
      b = right;
    }
    const VI bits = AsBits(hn::LoadU(DF(), b));
    const VI rounded = hn::ShiftLeft<16>(RoundedBf16(bits));
    if (AnyNan(bits) || !hn::AllTrue(DI(), hn::Eq(AsBits(hn::LoadU(DF(), a)), rounded))) {
      return false;
    }
  }
  return true;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser::linalg {

HWY_EXPORT(DecodeImpl);
HWY_EXPORT(EncodeImpl);
HWY_EXPORT(LargestImpl);
HWY_EXPORT(SquaresImpl);
HWY_EXPORT(RoundImpl);
HWY_EXPORT(AreRoundedImpl);

void DecodeCodes(DType coded, const uint8_t* codes, size_t n, float scale, float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeImpl)(coded, codes, n, scale, out);
}
CodeSums EncodeCodes(DType coded, const float* values, size_t n, float scale, uint8_t* codes) {
  return HWY_DYNAMIC_DISPATCH(EncodeImpl)(coded, values, n, scale, codes);
}
uint32_t LargestMagnitude(const float* values, size_t n) {
  return HWY_DYNAMIC_DISPATCH(LargestImpl)(values, n);
}
double SumOfSquares(const float* values, size_t n) {
  return HWY_DYNAMIC_DISPATCH(SquaresImpl)(values, n);
}
void RoundToBf16(const float* values, size_t n, uint16_t* out) {
  HWY_DYNAMIC_DISPATCH(RoundImpl)(values, n, out);
}
bool AreRoundedBf16(const float* values, const float* decoded, size_t n) {
  return HWY_DYNAMIC_DISPATCH(AreRoundedImpl)(values, decoded, n);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
