#include "common/linalg/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/linalg/block_ops.h"
#include "common/linalg/computable.h"
#include "common/linalg/simd_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/convert.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;
constexpr size_t kN = HWY_LANES(double);  // 8, 4 or 2

// A format is a raw integer or float type, how to widen kN
// elements at `p` (any alignment), and how to narrow them with one rounding.

using DF = hn::Rebind<float, D>;
using DU16 = hn::Rebind<uint16_t, D>;
using DU32 = hn::Rebind<uint32_t, D>;
using DI32 = hn::Rebind<int32_t, D>;
using DU64 = hn::Rebind<uint64_t, D>;

// Rounds to `kMantissa` explicit bits, with subnormals below 2^kMinExponent,
// staying in float64; what overflows becomes a power of two past the largest.
template <int kMantissa, int kMinExponent>
HWY_INLINE V RoundToFormat(V x) {
  const D d;
  const DU64 du;
  constexpr int kDropped = 52 - kMantissa;
  const auto bits = hn::BitCast(du, x);
  const auto odd = hn::And(hn::ShiftRight<kDropped>(bits), hn::Set(du, uint64_t{1}));
  const auto half = hn::Set(du, (uint64_t{1} << (kDropped - 1)) - 1);
  const auto sum = hn::Add(bits, hn::Add(half, odd));
  const auto keep = hn::Set(du, ~((uint64_t{1} << kDropped) - 1));
  const V normal = hn::BitCast(d, hn::And(sum, keep));
  // Adding 1.5 * 2^52 units of the smallest subnormal leaves whole units only,
  // rounded by the addition itself.
  const V magic =
      hn::Set(d, 1.5 * std::bit_cast<double>(
                           static_cast<uint64_t>(1023 + kMinExponent - kMantissa + 52) << 52));
  const V subnormal = hn::CopySign(hn::Sub(hn::Add(x, magic), magic), x);
  const V smallest =
      hn::Set(d, std::bit_cast<double>(static_cast<uint64_t>(1023 + kMinExponent) << 52));
  return hn::IfThenElse(hn::Lt(hn::Abs(x), smallest), subnormal, normal);
}

struct Bf16 {
  using Raw = uint16_t;
  static constexpr double kOverflow = 0x1.ffp127;  // the tie between the largest and 2^128
  static HWY_INLINE V Load(const std::byte* p) {
    const auto raw = hn::LoadU(DU16(), reinterpret_cast<const uint16_t*>(p));
    const auto wide = hn::ShiftLeft<16>(hn::PromoteTo(DU32(), raw));
    return hn::PromoteTo(D(), hn::BitCast(DF(), wide));
  }
  static HWY_INLINE void Store(V x, std::byte* p) {
    const auto f = hn::DemoteTo(DF(), RoundToFormat<7, -126>(x));
    const auto high = hn::ShiftRight<16>(hn::BitCast(DU32(), f));
    const auto raw = hn::DemoteTo(DU16(), hn::BitCast(DI32(), high));
    hn::StoreU(raw, DU16(), reinterpret_cast<uint16_t*>(p));
  }
};

struct F16 {
  using Raw = uint16_t;
  static constexpr double kOverflow = 65520;
  static HWY_INLINE V Load(const std::byte* p) {
    const hn::Rebind<hwy::float16_t, D> dh;
    const auto raw = hn::LoadU(DU16(), reinterpret_cast<const uint16_t*>(p));
    return hn::PromoteTo(D(), hn::PromoteTo(DF(), hn::BitCast(dh, raw)));
  }
  static HWY_INLINE void Store(V x, std::byte* p) {
    const hn::Rebind<hwy::float16_t, D> dh;
    const auto half = hn::DemoteTo(dh, hn::DemoteTo(DF(), RoundToFormat<10, -14>(x)));
    hn::StoreU(hn::BitCast(DU16(), half), DU16(), reinterpret_cast<uint16_t*>(p));
  }
};

struct F32 {
  using Raw = uint32_t;
  static constexpr double kOverflow = 0x1.ffffffp127;
  static HWY_INLINE V Load(const std::byte* p) {
    return hn::PromoteTo(D(), hn::LoadU(DF(), reinterpret_cast<const float*>(p)));
  }
  static HWY_INLINE void Store(V x, std::byte* p) {
    hn::StoreU(hn::DemoteTo(DF(), x), DF(), reinterpret_cast<float*>(p));
  }
};

struct F64 {
  using Raw = uint64_t;
  static constexpr double kOverflow = std::numeric_limits<double>::infinity();
  static HWY_INLINE V Load(const std::byte* p) {
    return hn::LoadU(D(), reinterpret_cast<const double*>(p));
  }
  static HWY_INLINE void Store(V x, std::byte* p) {
    hn::StoreU(x, D(), reinterpret_cast<double*>(p));
  }
};

template <class T>
void LoadRange(const std::byte* in, size_t n, double* out) {
  constexpr size_t kBytes = sizeof(typename T::Raw);
  const size_t whole = n / 16 * 16;
  for (size_t i = 0; i < whole; i += kN) hn::StoreU(T::Load(in + i * kBytes), D(), out + i);
  if (whole == n) return;
  alignas(64) std::byte tail[16 * kBytes] = {};
  std::memcpy(tail, in + whole * kBytes, (n - whole) * kBytes);
  for (size_t i = 0; i < 16; i += kN) hn::StoreU(T::Load(tail + i * kBytes), D(), out + whole + i);
}

template <class B, class E>
void DeltaRange(const std::byte* base, const std::byte* expert, size_t n, double* out) {
  constexpr size_t kB = sizeof(typename B::Raw), kE = sizeof(typename E::Raw);
  const size_t whole = n / 16 * 16;
  for (size_t i = 0; i < whole; i += kN) {
    hn::StoreU(hn::Sub(E::Load(expert + i * kE), B::Load(base + i * kB)), D(), out + i);
  }
  if (whole == n) return;
  alignas(64) std::byte tail_b[16 * kB] = {};
  alignas(64) std::byte tail_e[16 * kE] = {};
  std::memcpy(tail_b, base + whole * kB, (n - whole) * kB);
  std::memcpy(tail_e, expert + whole * kE, (n - whole) * kE);
  for (size_t i = 0; i < 16; i += kN) {
    hn::StoreU(hn::Sub(E::Load(tail_e + i * kE), B::Load(tail_b + i * kB)), D(), out + whole + i);
  }
}

template <class T>
bool StoreRange(const double* in, size_t n, std::byte* out) {
  constexpr size_t kBytes = sizeof(typename T::Raw);
  const D d;
  const V limit = hn::Set(d, T::kOverflow);
  const V one = hn::Set(d, 1.0);
  V fine = one;  // a lane turns zero where |x| < limit fails, NaN included
  const size_t whole = n / 16 * 16;
  for (size_t i = 0; i < whole; i += kN) {
    const V x = hn::LoadU(d, in + i);
    fine = hn::IfThenElseZero(hn::Lt(hn::Abs(x), limit), fine);
    T::Store(x, out + i * kBytes);
  }
  if (whole != n) {
    alignas(64) double tail_in[16] = {};
    alignas(64) std::byte tail_out[16 * kBytes];
    std::memcpy(tail_in, in + whole, (n - whole) * sizeof(double));
    for (size_t i = 0; i < 16; i += kN) {
      const V x = hn::LoadU(d, tail_in + i);
      fine = hn::IfThenElseZero(hn::Lt(hn::Abs(x), limit), fine);
      T::Store(x, tail_out + i * kBytes);
    }
    std::memcpy(out + whole * kBytes, tail_out, (n - whole) * kBytes);
  }
  return hn::AllTrue(d, hn::Eq(fine, one));
}

template <class Raw>
bool NonFiniteRange(const std::byte* in, size_t n, Raw exponent) {
  const hn::ScalableTag<Raw> d;
  const size_t step = hn::Lanes(d);
  const auto mask = hn::Set(d, exponent);
  auto found = hn::Zero(d);
  size_t i = 0;
  for (; i + step <= n; i += step) {
    const auto x = hn::LoadU(d, reinterpret_cast<const Raw*>(in + i * sizeof(Raw)));
    found = hn::Or(found, hn::VecFromMask(d, hn::Eq(hn::And(x, mask), mask)));
  }
  bool any = !hn::AllTrue(d, hn::Eq(found, hn::Zero(d)));
  for (; i < n; ++i) {
    Raw x;
    std::memcpy(&x, in + i * sizeof(Raw), sizeof(Raw));
    any |= (x & exponent) == exponent;
  }
  return any;
}

void LoadDoublesImpl(const TensorView& in, double* out) {
  switch (ComputableOf(in.dtype)) {
    case Computable::kBF16:
      return LoadRange<Bf16>(in.data, in.size, out);
    case Computable::kF16:
      return LoadRange<F16>(in.data, in.size, out);
    case Computable::kF32:
      return LoadRange<F32>(in.data, in.size, out);
    case Computable::kF64:
      return LoadRange<F64>(in.data, in.size, out);
  }
}

template <class B>
void DeltaFrom(const TensorView& base, const TensorView& expert, double* out) {
  switch (ComputableOf(expert.dtype)) {
    case Computable::kBF16:
      return DeltaRange<B, Bf16>(base.data, expert.data, base.size, out);
    case Computable::kF16:
      return DeltaRange<B, F16>(base.data, expert.data, base.size, out);
    case Computable::kF32:
      return DeltaRange<B, F32>(base.data, expert.data, base.size, out);
    case Computable::kF64:
      return DeltaRange<B, F64>(base.data, expert.data, base.size, out);
  }
}

void LoadDeltaImpl(const TensorView& base, const TensorView& expert, double* out) {
  switch (ComputableOf(base.dtype)) {
    case Computable::kBF16:
      return DeltaFrom<Bf16>(base, expert, out);
    case Computable::kF16:
      return DeltaFrom<F16>(base, expert, out);
    case Computable::kF32:
      return DeltaFrom<F32>(base, expert, out);
    case Computable::kF64:
      return DeltaFrom<F64>(base, expert, out);
  }
}

bool StoreDoublesImpl(const double* in, MutableTensorView out) {
  switch (ComputableOf(out.dtype)) {
    case Computable::kBF16:
      return StoreRange<Bf16>(in, out.size, out.data);
    case Computable::kF16:
      return StoreRange<F16>(in, out.size, out.data);
    case Computable::kF32:
      return StoreRange<F32>(in, out.size, out.data);
    case Computable::kF64:
      return StoreRange<F64>(in, out.size, out.data);
  }
  return false;  // not reached
}

bool HasNonFiniteImpl(const TensorView& in) {
  switch (ComputableOf(in.dtype)) {
    case Computable::kBF16:
      return NonFiniteRange<uint16_t>(in.data, in.size, 0x7f80);
    case Computable::kF16:
      return NonFiniteRange<uint16_t>(in.data, in.size, 0x7c00);
    case Computable::kF32:
      return NonFiniteRange<uint32_t>(in.data, in.size, 0x7f800000u);
    case Computable::kF64:
      return NonFiniteRange<uint64_t>(in.data, in.size, uint64_t{0x7ff} << 52);
  }
  return false;  // not reached
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser::linalg {

HWY_EXPORT(LoadDoublesImpl);
HWY_EXPORT(LoadDeltaImpl);
HWY_EXPORT(StoreDoublesImpl);
HWY_EXPORT(HasNonFiniteImpl);

void LoadDoubles(const TensorView& in, double* out) {
  if (in.size != 0) HWY_DYNAMIC_DISPATCH(LoadDoublesImpl)(in, out);
}

void LoadDelta(const TensorView& base, const TensorView& expert, double scale, double* out) {
  if (base.size == 0) return;
  if (expert.delta) {
    LoadDoubles(expert, out);
    if (scale != 1.0) Scale(scale, out, expert.size, out);
    return;
  }
  if (scale == 1.0) return HWY_DYNAMIC_DISPATCH(LoadDeltaImpl)(base, expert, out);
  // Rare (F64 inputs of extreme size): through a small buffer.
  constexpr uint64_t kChunk = 256;
  double tmp[kChunk];
  for (uint64_t i = 0; i < base.size; i += kChunk) {
    const uint64_t n = std::min(kChunk, base.size - i);
    LoadDoubles(base.Slice(i, n), tmp);
    LoadDoubles(expert.Slice(i, n), out + i);
    Scale(scale, out + i, n, out + i);
    AddScaled(-scale, tmp, n, out + i);
  }
}

uint64_t StoreDoubles(const double* in, MutableTensorView out) {
  if (out.size == 0 || HWY_DYNAMIC_DISPATCH(StoreDoublesImpl)(in, out)) return out.size;
  double limit = std::numeric_limits<double>::infinity();
  if (out.dtype == DType::kBF16) limit = 0x1.ffp127;
  if (out.dtype == DType::kF16) limit = 65520;
  if (out.dtype == DType::kF32) limit = 0x1.ffffffp127;
  uint64_t i = 0;
  while (i < out.size && std::abs(in[i]) < limit) ++i;
  return i;
}

bool HasNonFinite(const TensorView& in) {
  return in.size != 0 && HWY_DYNAMIC_DISPATCH(HasNonFiniteImpl)(in);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
