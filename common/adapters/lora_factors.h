// The best approximation of a task vector by a product of low rank, as an adapter stores it.
#ifndef MERGANSER_COMMON_ADAPTERS_LORA_FACTORS_H_
#define MERGANSER_COMMON_ADAPTERS_LORA_FACTORS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/linalg/task_vector.h"
#include "common/tensor/dtype.h"

namespace merganser {

struct LoraRank {
  uint64_t most = 0;  // at least 1
  std::optional<double>
      energy;  // the least rank that keeps this share of the squares, up to `most`
};

// delta ~ left right^T, the leading singular triplets with the root of each value on either side,
// rounded to the adapter's dtype. The sign is that of the solver: the largest entry of a left
// vector is positive before it is rounded.
struct LoraFactors {
  uint64_t rank = 0;                    // 0: the difference is zero
  std::vector<std::byte> rows_by_rank;  // left [rows, rank]
  std::vector<std::byte> rank_by_rows;  // left^T [rank, rows]
  std::vector<std::byte> cols_by_rank;  // right [cols, rank]
  std::vector<std::byte> rank_by_cols;  // right^T [rank, cols]
  std::vector<double> sigma;            // `rank`, descending
  double squares = 0;                   // of the difference
  double lost = 0;                      // of the difference less the product as it is stored
};

// Of leading singular triplets, descending, those above zero that `rank` takes; `squares` is the
// whole difference's. `triplets` become what is stored, with sigma 1. `lost` is left to the caller.
// kOutOfRange where a factor overflows `dtype`.
absl::StatusOr<LoraFactors> FactorTriplets(const LoraRank& rank, double squares, DType dtype,
                                           Triplets& triplets);

// The same bytes for any executor and processor. `delta`'s values are finite. kInternal where the
// solver did not converge; kOutOfRange where a factor overflows `dtype`; kCancelled when `executor`
// was.
absl::StatusOr<LoraFactors> FactorDifference(const TaskVector& delta, const LoraRank& rank,
                                             DType dtype, Executor& executor);

// Upper bound of the memory that it takes beside `delta`, its result included; bytes.
uint64_t FactorWorkspaceBytes(int64_t rows, int64_t cols, uint64_t rank);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_LORA_FACTORS_H_
