// Products of low rank, rounded as PEFT rounds them when it merges an adapter of 16 bits on a CPU.
#ifndef MERGANSER_COMMON_LINALG_ROUND_PRODUCTS_H_
#define MERGANSER_COMMON_LINALG_ROUND_PRODUCTS_H_

#include <cstddef>

#include "common/tensor/dtype.h"

namespace merganser::linalg {

// total[i] += round16(round32(round32(products[i]) * round32(scale))) for i < n, each rounding to
// nearest even: sums over ranks as float32, times the scale in float32, then as `dtype` (F16 or
// BF16). What does not fit becomes infinite. Each element by itself: the same bits everywhere.
void AddRoundedProducts(const double* products, size_t n, double scale, DType dtype, double* total);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_ROUND_PRODUCTS_H_
