#include "common/linalg/block_ops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/linalg/simd_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/block_ops.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;
constexpr size_t kN = HWY_LANES(double);  // 8, 4 or 2
constexpr size_t kPacks = 16 / kN;

// `P` vectors side by side. Nested pairs rather than an array: the compiler
// keeps them in registers.
template <size_t P>
struct Pack {
  Pack<P / 2> lo, hi;
  static HWY_INLINE Pack Load(const double* p) {
    return {Pack<P / 2>::Load(p), Pack<P / 2>::Load(p + P / 2 * kN)};
  }
  static HWY_INLINE void Fma(const Pack& x, const Pack& y, Pack& sum) {
    Pack<P / 2>::Fma(x.lo, y.lo, sum.lo);
    Pack<P / 2>::Fma(x.hi, y.hi, sum.hi);
  }
  static HWY_INLINE void FmaScalar(V w, const Pack& x, Pack& sum) {
    Pack<P / 2>::FmaScalar(w, x.lo, sum.lo);
    Pack<P / 2>::FmaScalar(w, x.hi, sum.hi);
  }
  HWY_INLINE void Store(double* p) const {
    lo.Store(p);
    hi.Store(p + P / 2 * kN);
  }
};
template <>
struct Pack<1> {
  V v;
  static HWY_INLINE Pack Load(const double* p) { return {hn::LoadU(D(), p)}; }
  static HWY_INLINE void Fma(const Pack& x, const Pack& y, Pack& sum) {
    sum.v = hn::MulAdd(x.v, y.v, sum.v);
  }
  static HWY_INLINE void FmaScalar(V w, const Pack& x, Pack& sum) {
    sum.v = hn::MulAdd(w, x.v, sum.v);
  }
  HWY_INLINE void Store(double* p) const { hn::StoreU(v, D(), p); }
};

// --- Conversion. A format is a raw integer or float type, how to widen kN
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
  switch (in.dtype) {
    case DType::kBF16:
      return LoadRange<Bf16>(in.data, in.size, out);
    case DType::kF16:
      return LoadRange<F16>(in.data, in.size, out);
    case DType::kF32:
      return LoadRange<F32>(in.data, in.size, out);
    default:
      return LoadRange<F64>(in.data, in.size, out);
  }
}

template <class B>
void DeltaFrom(const TensorView& base, const TensorView& expert, double* out) {
  switch (expert.dtype) {
    case DType::kBF16:
      return DeltaRange<B, Bf16>(base.data, expert.data, base.size, out);
    case DType::kF16:
      return DeltaRange<B, F16>(base.data, expert.data, base.size, out);
    case DType::kF32:
      return DeltaRange<B, F32>(base.data, expert.data, base.size, out);
    default:
      return DeltaRange<B, F64>(base.data, expert.data, base.size, out);
  }
}

void LoadDeltaImpl(const TensorView& base, const TensorView& expert, double* out) {
  switch (base.dtype) {
    case DType::kBF16:
      return DeltaFrom<Bf16>(base, expert, out);
    case DType::kF16:
      return DeltaFrom<F16>(base, expert, out);
    case DType::kF32:
      return DeltaFrom<F32>(base, expert, out);
    default:
      return DeltaFrom<F64>(base, expert, out);
  }
}

bool StoreDoublesImpl(const double* in, MutableTensorView out) {
  switch (out.dtype) {
    case DType::kBF16:
      return StoreRange<Bf16>(in, out.size, out.data);
    case DType::kF16:
      return StoreRange<F16>(in, out.size, out.data);
    case DType::kF32:
      return StoreRange<F32>(in, out.size, out.data);
    default:
      return StoreRange<F64>(in, out.size, out.data);
  }
}

bool HasNonFiniteImpl(const TensorView& in) {
  switch (in.dtype) {
    case DType::kBF16:
      return NonFiniteRange<uint16_t>(in.data, in.size, 0x7f80);
    case DType::kF16:
      return NonFiniteRange<uint16_t>(in.data, in.size, 0x7c00);
    case DType::kF32:
      return NonFiniteRange<uint32_t>(in.data, in.size, 0x7f800000u);
    default:
      return NonFiniteRange<uint64_t>(in.data, in.size, uint64_t{0x7ff} << 52);
  }
}

// --- Element-wise arithmetic. The last n % kN elements go through a buffer, so
// that `x` is never read beyond n.

template <class F>
HWY_INLINE void Map(const double* x, size_t n, double* y, F f) {
  const D d;
  size_t i = 0;
  for (; i + kN <= n; i += kN) hn::StoreU(f(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
  if (i == n) return;
  alignas(64) double tx[kN] = {}, ty[kN] = {};
  std::memcpy(tx, x + i, (n - i) * sizeof(double));
  std::memcpy(ty, y + i, (n - i) * sizeof(double));
  hn::StoreU(f(hn::LoadU(d, tx), hn::LoadU(d, ty)), d, ty);
  std::memcpy(y + i, ty, (n - i) * sizeof(double));
}

struct MulFn {
  V w;
  HWY_INLINE V operator()(V x, V) const { return hn::Mul(w, x); }
};
struct MulAddFn {
  V w;
  HWY_INLINE V operator()(V x, V y) const { return hn::MulAdd(w, x, y); }
};
struct DivFn {
  V divisor;
  HWY_INLINE V operator()(V, V y) const { return hn::Div(y, divisor); }
};
struct AddToBaseFn {
  V scale;
  HWY_INLINE V operator()(V x, V y) const {
    return hn::IfThenElse(hn::Eq(x, hn::Zero(D())), y, hn::MulAdd(scale, x, y));
  }
};

void ScaleImpl(double w, const double* x, size_t n, double* y) {
  Map(x, n, y, MulFn{hn::Set(D(), w)});
}
void AddScaledImpl(double w, const double* x, size_t n, double* y) {
  Map(x, n, y, MulAddFn{hn::Set(D(), w)});
}
void DivideImpl(double divisor, size_t n, double* y) { Map(y, n, y, DivFn{hn::Set(D(), divisor)}); }
void AddToBaseImpl(double scale, const double* x, size_t n, double* y) {
  Map(x, n, y, AddToBaseFn{hn::Set(D(), scale)});
}

// --- Dot products of R rows with C others, 16 lanes each.

using Lanes16 = Pack<kPacks>;

template <int R, int C>
HWY_INLINE void DotTile(const double* a, size_t lda, const double* b, size_t ldb, size_t n,
                        double* acc, size_t acc_row) {
  Lanes16 s00 = Lanes16::Load(acc), s01 = s00, s02 = s00, s03 = s00;
  Lanes16 s10 = s00, s11 = s00, s12 = s00, s13 = s00;
  if constexpr (C > 1) s01 = Lanes16::Load(acc + 16);
  if constexpr (C > 2) s02 = Lanes16::Load(acc + 32);
  if constexpr (C > 3) s03 = Lanes16::Load(acc + 48);
  if constexpr (R > 1) {
    s10 = Lanes16::Load(acc + acc_row);
    if constexpr (C > 1) s11 = Lanes16::Load(acc + acc_row + 16);
    if constexpr (C > 2) s12 = Lanes16::Load(acc + acc_row + 32);
    if constexpr (C > 3) s13 = Lanes16::Load(acc + acc_row + 48);
  }
  for (size_t i = 0; i < n; i += 16) {
    const Lanes16 x0 = Lanes16::Load(a + i);
    Lanes16 x1 = x0;
    if constexpr (R > 1) x1 = Lanes16::Load(a + lda + i);
    {
      const Lanes16 y = Lanes16::Load(b + i);
      Lanes16::Fma(x0, y, s00);
      if constexpr (R > 1) Lanes16::Fma(x1, y, s10);
    }
    if constexpr (C > 1) {
      const Lanes16 y = Lanes16::Load(b + ldb + i);
      Lanes16::Fma(x0, y, s01);
      if constexpr (R > 1) Lanes16::Fma(x1, y, s11);
    }
    if constexpr (C > 2) {
      const Lanes16 y = Lanes16::Load(b + 2 * ldb + i);
      Lanes16::Fma(x0, y, s02);
      if constexpr (R > 1) Lanes16::Fma(x1, y, s12);
    }
    if constexpr (C > 3) {
      const Lanes16 y = Lanes16::Load(b + 3 * ldb + i);
      Lanes16::Fma(x0, y, s03);
      if constexpr (R > 1) Lanes16::Fma(x1, y, s13);
    }
  }
  s00.Store(acc);
  if constexpr (C > 1) s01.Store(acc + 16);
  if constexpr (C > 2) s02.Store(acc + 32);
  if constexpr (C > 3) s03.Store(acc + 48);
  if constexpr (R > 1) {
    s10.Store(acc + acc_row);
    if constexpr (C > 1) s11.Store(acc + acc_row + 16);
    if constexpr (C > 2) s12.Store(acc + acc_row + 32);
    if constexpr (C > 3) s13.Store(acc + acc_row + 48);
  }
}

// As many accumulators as the register file holds. The tiling decides which
// dot products advance together, never the order inside one.
constexpr int kTileRows = kPacks <= 2 ? 2 : 1;
constexpr int kTileCols = kPacks <= 2 ? 4 : 2;

template <int R>
HWY_INLINE void DotRows(const double* a, size_t lda, const double* b, size_t ldb, size_t nb,
                        size_t n, double* acc) {
  size_t j = 0;
  for (; j + kTileCols <= nb; j += kTileCols) {
    DotTile<R, kTileCols>(a, lda, b + j * ldb, ldb, n, acc + j * 16, nb * 16);
  }
  switch (nb - j) {
    case 1:
      return DotTile<R, 1>(a, lda, b + j * ldb, ldb, n, acc + j * 16, nb * 16);
    case 2:
      return DotTile<R, 2>(a, lda, b + j * ldb, ldb, n, acc + j * 16, nb * 16);
    case 3:
      return DotTile<R, 3>(a, lda, b + j * ldb, ldb, n, acc + j * 16, nb * 16);
    default:
      return;
  }
}

void DotBlockImpl(const double* a, size_t lda, size_t na, const double* b, size_t ldb, size_t nb,
                  size_t n, double* acc) {
  size_t i = 0;
  for (; i + kTileRows <= na; i += kTileRows) {
    DotRows<kTileRows>(a + i * lda, lda, b, ldb, nb, n, acc + i * nb * 16);
  }
  for (; i < na; ++i) DotRows<1>(a + i * lda, lda, b, ldb, nb, n, acc + i * nb * 16);
}

// --- z_j += sum_i coef_ij a_i.

template <int C>
HWY_INLINE void UpdateTile(const double* a, size_t lda, size_t na, const double* coef,
                           size_t coef_row, double* z, size_t ldz, size_t n) {
  const D d;
  using P2 = Pack<2>;
  for (size_t i = 0; i < n; i += 2 * kN) {
    P2 z0 = P2::Load(z + i), z1 = z0, z2 = z0, z3 = z0;
    if constexpr (C > 1) z1 = P2::Load(z + ldz + i);
    if constexpr (C > 2) z2 = P2::Load(z + 2 * ldz + i);
    if constexpr (C > 3) z3 = P2::Load(z + 3 * ldz + i);
    const double* row = a + i;
    const double* c = coef;
    for (size_t r = 0; r < na; ++r, row += lda, c += coef_row) {
      const P2 x = P2::Load(row);
      P2::FmaScalar(hn::Set(d, c[0]), x, z0);
      if constexpr (C > 1) P2::FmaScalar(hn::Set(d, c[1]), x, z1);
      if constexpr (C > 2) P2::FmaScalar(hn::Set(d, c[2]), x, z2);
      if constexpr (C > 3) P2::FmaScalar(hn::Set(d, c[3]), x, z3);
    }
    z0.Store(z + i);
    if constexpr (C > 1) z1.Store(z + ldz + i);
    if constexpr (C > 2) z2.Store(z + 2 * ldz + i);
    if constexpr (C > 3) z3.Store(z + 3 * ldz + i);
  }
}

void UpdateBlockImpl(const double* a, size_t lda, size_t na, const double* coef, double* z,
                     size_t ldz, size_t nz, size_t n) {
  for (size_t r = 0; r < na; r += 8) {
    const size_t rows = std::min<size_t>(8, na - r);
    const double* ar = a + r * lda;
    const double* cr = coef + r * nz;
    size_t j = 0;
    for (; j + 4 <= nz; j += 4) UpdateTile<4>(ar, lda, rows, cr + j, nz, z + j * ldz, ldz, n);
    switch (nz - j) {
      case 1:
        UpdateTile<1>(ar, lda, rows, cr + j, nz, z + j * ldz, ldz, n);
        break;
      case 2:
        UpdateTile<2>(ar, lda, rows, cr + j, nz, z + j * ldz, ldz, n);
        break;
      case 3:
        UpdateTile<3>(ar, lda, rows, cr + j, nz, z + j * ldz, ldz, n);
        break;
      default:
        break;
    }
  }
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
HWY_EXPORT(ScaleImpl);
HWY_EXPORT(AddScaledImpl);
HWY_EXPORT(DivideImpl);
HWY_EXPORT(AddToBaseImpl);
HWY_EXPORT(DotBlockImpl);
HWY_EXPORT(UpdateBlockImpl);

void LoadDoubles(const TensorView& in, double* out) {
  if (in.size != 0) HWY_DYNAMIC_DISPATCH(LoadDoublesImpl)(in, out);
}

void LoadDelta(const TensorView& base, const TensorView& expert, double scale, double* out) {
  if (base.size == 0) return;
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

void Scale(double w, const double* x, size_t n, double* y) {
  HWY_DYNAMIC_DISPATCH(ScaleImpl)(w, x, n, y);
}
void AddScaled(double w, const double* x, size_t n, double* y) {
  HWY_DYNAMIC_DISPATCH(AddScaledImpl)(w, x, n, y);
}
void Divide(double divisor, size_t n, double* y) {
  HWY_DYNAMIC_DISPATCH(DivideImpl)(divisor, n, y);
}
void AddToBase(double scale, const double* x, size_t n, double* y) {
  HWY_DYNAMIC_DISPATCH(AddToBaseImpl)(scale, x, n, y);
}

void DotBlock(const double* a, size_t lda, size_t na, const double* b, size_t ldb, size_t nb,
              size_t n, double* acc) {
  HWY_DYNAMIC_DISPATCH(DotBlockImpl)(a, lda, na, b, ldb, nb, n, acc);
}

double SumLanes(const double* acc) {
  double s[kLanes];
  std::copy_n(acc, kLanes, s);
  for (size_t width = kLanes / 2; width > 0; width /= 2) {
    for (size_t l = 0; l < width; ++l) s[l] += s[l + width];
  }
  return s[0];
}

double Dot(const double* a, const double* b, size_t n) {
  double acc[kLanes] = {};
  DotBlock(a, 0, 1, b, 0, 1, n, acc);
  return SumLanes(acc);
}

void UpdateBlock(const double* a, size_t lda, size_t na, const double* coef, double* z, size_t ldz,
                 size_t nz, size_t n) {
  HWY_DYNAMIC_DISPATCH(UpdateBlockImpl)(a, lda, na, coef, z, ldz, nz, n);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
