#include "common/linalg/block_ops.h"

#include <algorithm>
#include <cstring>

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

HWY_EXPORT(ScaleImpl);
HWY_EXPORT(AddScaledImpl);
HWY_EXPORT(DivideImpl);
HWY_EXPORT(AddToBaseImpl);
HWY_EXPORT(DotBlockImpl);
HWY_EXPORT(UpdateBlockImpl);

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
