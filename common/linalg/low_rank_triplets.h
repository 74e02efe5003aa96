// Leading singular triplets of a product of low rank from its factors: exact up to rounding, and
// without a pass over the matrix.
#ifndef MERGANSER_COMMON_LINALG_LOW_RANK_TRIPLETS_H_
#define MERGANSER_COMMON_LINALG_LOW_RANK_TRIPLETS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/linalg/top_k.h"

namespace merganser {

// The height x width matrix sum over k of scales[k] * rows_k columns_k^T. All entries are finite.
struct FactoredDelta {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<double> scales;   // one a k
  std::vector<double> rows;     // rows_k at rows[k * height]
  std::vector<double> columns;  // columns_k at columns[k * width]

  // An upper bound of the matrix' rank, which may be above either side; 0: the zero matrix.
  size_t rank() const { return scales.size(); }
};

// As ComputeTopK has it (top_k.h), of `delta`, by DecomposeProduct (product_svd.h): the same bits
// whatever the CPU and `executor`. Factors of any size of float64 are taken: each is brought to
// about 1 by a power of two first. What is below max(height, width) * 2^-52 of the largest value is
// zero, as there, so that a `sigma_next` of 0 says that nothing is left behind the triplets;
// `steps`, `passes`, `residual` and `vector_error` are 0.
// kInvalidArgument unless 1 <= k <= min(height, width) and the factors have their sizes;
// kOutOfRange when a singular value overflows float64; kCancelled when `executor` was.
absl::StatusOr<TopKResult> LowRankTopK(const FactoredDelta& delta, int k, Executor& executor);

// Upper bound of the memory that LowRankTopK takes beside `delta` and its result, in bytes,
// whatever k.
uint64_t LowRankTopKBytes(uint64_t height, uint64_t width, uint64_t rank);

}  // namespace merganser

#endif  // MERGANSER_COMMON_LINALG_LOW_RANK_TRIPLETS_H_
