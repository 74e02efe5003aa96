#include "common/linalg/block_ops_f32.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/linalg/block_ops.h"
#include "common/linalg/simd_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/block_ops_f32.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using DF32 = hn::ScalableTag<float>;
using VF32 = hn::Vec<DF32>;
constexpr size_t kNF32 = HWY_LANES(float);  // 16, 8 or 4

// `P` vectors side by side, nested so that the compiler keeps them in registers.
template <size_t P>
struct PackF32 {
  PackF32<P / 2> lo, hi;
  static HWY_INLINE PackF32 Load(const float* p) {
    return {PackF32<P / 2>::Load(p), PackF32<P / 2>::Load(p + P / 2 * kNF32)};
  }
  static HWY_INLINE void Fma(const PackF32& x, const PackF32& y, PackF32& sum) {
    PackF32<P / 2>::Fma(x.lo, y.lo, sum.lo);
    PackF32<P / 2>::Fma(x.hi, y.hi, sum.hi);
  }
  static HWY_INLINE void FmaScalar(VF32 w, const PackF32& x, PackF32& sum) {
    PackF32<P / 2>::FmaScalar(w, x.lo, sum.lo);
    PackF32<P / 2>::FmaScalar(w, x.hi, sum.hi);
  }
  HWY_INLINE void Store(float* p) const {
    lo.Store(p);
    hi.Store(p + P / 2 * kNF32);
  }
};
template <>
struct PackF32<1> {
  VF32 v;
  static HWY_INLINE PackF32 Load(const float* p) { return {hn::LoadU(DF32(), p)}; }
  static HWY_INLINE void Fma(const PackF32& x, const PackF32& y, PackF32& sum) {
    sum.v = hn::MulAdd(x.v, y.v, sum.v);
  }
  static HWY_INLINE void FmaScalar(VF32 w, const PackF32& x, PackF32& sum) {
    sum.v = hn::MulAdd(w, x.v, sum.v);
  }
  HWY_INLINE void Store(float* p) const { hn::StoreU(v, DF32(), p); }
};
using LanesF32 = PackF32<16 / kNF32>;

HWY_INLINE VF32 WidenBf16(const std::byte* p) {
  const hn::Rebind<uint16_t, DF32> d16;
  const hn::Rebind<uint32_t, DF32> d32;
  const auto raw = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(DF32(), hn::ShiftLeft<16>(hn::PromoteTo(d32, raw)));
}

void LoadDeltaF32Impl(const TensorView& base, const TensorView& expert, float* out) {
  const size_t n = base.size, whole = n / 16 * 16;
  for (size_t i = 0; i < whole; i += kNF32) {
    hn::StoreU(hn::Sub(WidenBf16(expert.data + 2 * i), WidenBf16(base.data + 2 * i)), DF32(),
               out + i);
  }
  if (whole == n) return;
  alignas(64) std::byte tail_b[32] = {};
  alignas(64) std::byte tail_e[32] = {};
  std::memcpy(tail_b, base.data + 2 * whole, 2 * (n - whole));
  std::memcpy(tail_e, expert.data + 2 * whole, 2 * (n - whole));
  for (size_t i = 0; i < 16; i += kNF32) {
    hn::StoreU(hn::Sub(WidenBf16(tail_e + 2 * i), WidenBf16(tail_b + 2 * i)), DF32(),
               out + whole + i);
  }
}

// R rows against C others, all accumulators in registers.
template <int R, int C>
HWY_INLINE void DotTileF32(const float* a, size_t lda, const float* b, size_t ldb, size_t n,
                           float* acc, size_t acc_row) {
  LanesF32 s00 = LanesF32::Load(acc), s01 = s00, s02 = s00;
  LanesF32 s10 = s00, s11 = s00, s12 = s00;
  if constexpr (C > 1) s01 = LanesF32::Load(acc + 16);
  if constexpr (C > 2) s02 = LanesF32::Load(acc + 32);
  if constexpr (R > 1) {
    s10 = LanesF32::Load(acc + acc_row);
    if constexpr (C > 1) s11 = LanesF32::Load(acc + acc_row + 16);
    if constexpr (C > 2) s12 = LanesF32::Load(acc + acc_row + 32);
  }
  for (size_t i = 0; i < n; i += 16) {
    const LanesF32 x0 = LanesF32::Load(a + i);
    LanesF32 x1 = x0;
    if constexpr (R > 1) x1 = LanesF32::Load(a + lda + i);
    {
      const LanesF32 y = LanesF32::Load(b + i);
      LanesF32::Fma(x0, y, s00);
      if constexpr (R > 1) LanesF32::Fma(x1, y, s10);
    }
    if constexpr (C > 1) {
      const LanesF32 y = LanesF32::Load(b + ldb + i);
      LanesF32::Fma(x0, y, s01);
      if constexpr (R > 1) LanesF32::Fma(x1, y, s11);
    }
    if constexpr (C > 2) {
      const LanesF32 y = LanesF32::Load(b + 2 * ldb + i);
      LanesF32::Fma(x0, y, s02);
      if constexpr (R > 1) LanesF32::Fma(x1, y, s12);
    }
  }
  s00.Store(acc);
  if constexpr (C > 1) s01.Store(acc + 16);
  if constexpr (C > 2) s02.Store(acc + 32);
  if constexpr (R > 1) {
    s10.Store(acc + acc_row);
    if constexpr (C > 1) s11.Store(acc + acc_row + 16);
    if constexpr (C > 2) s12.Store(acc + acc_row + 32);
  }
}

template <int R>
HWY_INLINE void DotRowsF32(const float* a, size_t lda, const float* b, size_t ldb, size_t nb,
                           size_t n, float* acc) {
  size_t j = 0;
  for (; j + 3 <= nb; j += 3) {
    DotTileF32<R, 3>(a, lda, b + j * ldb, ldb, n, acc + j * 16, nb * 16);
  }
  if (nb - j == 2) DotTileF32<R, 2>(a, lda, b + j * ldb, ldb, n, acc + j * 16, nb * 16);
  if (nb - j == 1) DotTileF32<R, 1>(a, lda, b + j * ldb, ldb, n, acc + j * 16, nb * 16);
}

void DotBlockF32Impl(const float* a, size_t lda, size_t na, const float* b, size_t ldb, size_t nb,
                     size_t n, float* acc) {
  size_t i = 0;
  for (; i + 2 <= na; i += 2) DotRowsF32<2>(a + i * lda, lda, b, ldb, nb, n, acc + i * nb * 16);
  if (i < na) DotRowsF32<1>(a + i * lda, lda, b, ldb, nb, n, acc + i * nb * 16);
}

template <int C>
HWY_INLINE void UpdateTileF32(const float* a, size_t lda, size_t na, const float* coef,
                              size_t coef_row, float* z, size_t ldz, size_t n) {
  const DF32 d;
  for (size_t i = 0; i < n; i += 16) {
    LanesF32 z0 = LanesF32::Load(z + i), z1 = z0, z2 = z0;
    if constexpr (C > 1) z1 = LanesF32::Load(z + ldz + i);
    if constexpr (C > 2) z2 = LanesF32::Load(z + 2 * ldz + i);
    const float* row = a + i;
    const float* c = coef;
    for (size_t r = 0; r < na; ++r, row += lda, c += coef_row) {
      const LanesF32 x = LanesF32::Load(row);
      LanesF32::FmaScalar(hn::Set(d, c[0]), x, z0);
      if constexpr (C > 1) LanesF32::FmaScalar(hn::Set(d, c[1]), x, z1);
      if constexpr (C > 2) LanesF32::FmaScalar(hn::Set(d, c[2]), x, z2);
    }
    z0.Store(z + i);
    if constexpr (C > 1) z1.Store(z + ldz + i);
    if constexpr (C > 2) z2.Store(z + 2 * ldz + i);
  }
}

void UpdateBlockF32Impl(const float* a, size_t lda, size_t na, const float* coef, float* z,
                        size_t ldz, size_t nz, size_t n) {
  size_t j = 0;
  for (; j + 3 <= nz; j += 3) UpdateTileF32<3>(a, lda, na, coef + j, nz, z + j * ldz, ldz, n);
  if (nz - j == 2) UpdateTileF32<2>(a, lda, na, coef + j, nz, z + j * ldz, ldz, n);
  if (nz - j == 1) UpdateTileF32<1>(a, lda, na, coef + j, nz, z + j * ldz, ldz, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser::linalg {

HWY_EXPORT(LoadDeltaF32Impl);
HWY_EXPORT(DotBlockF32Impl);
HWY_EXPORT(UpdateBlockF32Impl);

bool HasDeltaF32(const TensorView& base, const TensorView& expert) {
  return base.dtype == DType::kBF16 && expert.dtype == DType::kBF16;
}

void LoadDeltaF32(const TensorView& base, const TensorView& expert, float* out) {
  if (base.size != 0) HWY_DYNAMIC_DISPATCH(LoadDeltaF32Impl)(base, expert, out);
}

void DotBlockF32(const float* a, size_t lda, size_t na, const float* b, size_t ldb, size_t nb,
                 size_t n, float* acc) {
  HWY_DYNAMIC_DISPATCH(DotBlockF32Impl)(a, lda, na, b, ldb, nb, n, acc);
}

void UpdateBlockF32(const float* a, size_t lda, size_t na, const float* coef, float* z, size_t ldz,
                    size_t nz, size_t n) {
  HWY_DYNAMIC_DISPATCH(UpdateBlockF32Impl)(a, lda, na, coef, z, ldz, nz, n);
}

double SumLanesF32(const float* acc) {
  double wide[kLanes];
  std::copy_n(acc, kLanes, wide);
  return SumLanes(wide);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
