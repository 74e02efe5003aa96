#include "common/linalg/low_rank.h"

#include "common/linalg/block_ops.h"
#include "common/linalg/simd_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/low_rank.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;
constexpr size_t kN = HWY_LANES(double);
constexpr size_t kParts = kLanes / kN;              // vectors of 16 columns
constexpr size_t kTileRows = kN >= 8 ? 4 : kN / 2;  // with them 8 accumulators

// 16 columns of R rows.
template <size_t R>
HWY_INLINE void Tile(const double* rows, size_t row_stride, const double* columns,
                     size_t column_stride, size_t rank, V scale, double* total,
                     size_t total_stride) {
  const D d;
  V sum[R][kParts];
  for (size_t r = 0; r < R; ++r) {
    for (size_t p = 0; p < kParts; ++p) sum[r][p] = hn::Zero(d);
  }
  for (size_t k = 0; k < rank; ++k) {
    V column[kParts];
    for (size_t p = 0; p < kParts; ++p) {
      column[p] = hn::LoadU(d, columns + k * column_stride + p * kN);
    }
    for (size_t r = 0; r < R; ++r) {
      const V row = hn::Set(d, rows[r * row_stride + k]);
      for (size_t p = 0; p < kParts; ++p) sum[r][p] = hn::MulAdd(row, column[p], sum[r][p]);
    }
  }
  for (size_t r = 0; r < R; ++r) {
    for (size_t p = 0; p < kParts; ++p) {
      double* const to = total + r * total_stride + p * kN;
      hn::StoreU(hn::MulAdd(scale, sum[r][p], hn::LoadU(d, to)), d, to);
    }
  }
}

void AddProductImpl(const double* rows, size_t row_stride, size_t count, const double* columns,
                    size_t column_stride, size_t rank, size_t n, double scale, double* total,
                    size_t total_stride) {
  const V by = hn::Set(D(), scale);
  for (size_t c = 0; c < n; c += kLanes) {
    size_t r = 0;
    for (; r + kTileRows <= count; r += kTileRows) {
      Tile<kTileRows>(rows + r * row_stride, row_stride, columns + c, column_stride, rank, by,
                      total + r * total_stride + c, total_stride);
    }
    for (; r < count; ++r) {
      Tile<1>(rows + r * row_stride, row_stride, columns + c, column_stride, rank, by,
              total + r * total_stride + c, total_stride);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser::linalg {

HWY_EXPORT(AddProductImpl);

void AddProduct(const double* rows, size_t row_stride, size_t count, const double* columns,
                size_t column_stride, size_t rank, size_t n, double scale, double* total,
                size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(AddProductImpl)
  (rows, row_stride, count, columns, column_stride, rank, n, scale, total, total_stride);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
