// Products of low rank, a tile at a time. Every element is one sum, over k ascending, of one fused
// multiply-add in float64 each: no instruction set, cut or thread count gives other bits.
#ifndef MERGANSER_COMMON_LINALG_LOW_RANK_H_
#define MERGANSER_COMMON_LINALG_LOW_RANK_H_

#include <cstddef>

namespace merganser::linalg {

// total[i][j] = fma(scale, sum_k rows[i][k] * columns[k][j], total[i][j]) for i < count, j < n, a
// multiple of 16, and k < rank, which is at least 1. Lines of `rows`, `columns` and `total` begin
// `row_stride`, `column_stride` and `total_stride` after each other. Nothing allocates;
// thread-safe.
void AddProduct(const double* rows, size_t row_stride, size_t count, const double* columns,
                size_t column_stride, size_t rank, size_t n, double scale, double* total,
                size_t total_stride);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_LOW_RANK_H_
