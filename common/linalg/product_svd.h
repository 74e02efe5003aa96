// Singular triplets of a sum of few products of two vectors, which is never formed.
#ifndef MERGANSER_COMMON_LINALG_PRODUCT_SVD_H_
#define MERGANSER_COMMON_LINALG_PRODUCT_SVD_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/linalg/lane_buffer.h"
#include "common/linalg/task_vector.h"

namespace merganser {

// `count` vectors of `length`, zero at first. Each begins `stride` after the one before, a multiple
// of 16, and is zero beyond its length.
class FactorColumns {
 public:
  FactorColumns(size_t length, size_t count);

  double* column(size_t i) { return data_.data() + i * stride_; }
  const double* column(size_t i) const { return data_.data() + i * stride_; }
  size_t length() const { return length_; }
  size_t count() const { return count_; }
  size_t stride() const { return stride_; }

 private:
  size_t length_, count_, stride_;
  linalg::LaneBuffer data_;
};

struct ProductSvd {
  // Those whose value is more than the rounding of the sum, at most as many as were asked for. The
  // largest entry of a left vector is positive.
  Triplets triplets;
  double squares = 0;  // of the sum
};

// Of sum_k left_k right_k^T, as many columns on either side: both are brought to triangles by
// Householder's reflections, and the product of the triangles is decomposed by one-sided Jacobi
// rotations, all in float64. Vectors are orthogonal, and values exact, to about 1e-15 of
// sum_k |left_k| |right_k|: of terms that cancel no more is left than that.
//
// The result depends on the columns alone, not on `executor` or the CPU. kOutOfRange where it
// overflows float64; kCancelled when `executor` was.
absl::StatusOr<ProductSvd> DecomposeProduct(FactorColumns left, FactorColumns right,
                                            Executor& executor, size_t most = SIZE_MAX);

// The sum of squares of the same sum, without cancellation between its terms' squares.
absl::StatusOr<double> ProductSquares(FactorColumns left, FactorColumns right, Executor& executor);

// Upper bound of the memory that DecomposeProduct takes, its arguments and result included; bytes.
uint64_t ProductSvdBytes(uint64_t rows, uint64_t cols, uint64_t count);

}  // namespace merganser

#endif  // MERGANSER_COMMON_LINALG_PRODUCT_SVD_H_
