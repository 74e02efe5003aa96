// A sum of products of low rank, factored anew as an adapter stores it.
#ifndef MERGANSER_COMMON_ADAPTERS_PRODUCT_FACTORS_H_
#define MERGANSER_COMMON_ADAPTERS_PRODUCT_FACTORS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/adapters/lora_factors.h"
#include "common/base/executor.h"
#include "common/linalg/product_svd.h"
#include "common/tensor/dtype.h"

namespace merganser {

// Of left right^T, [left.length(), right.length()], as FactorDifference of the same sum; no more
// factors than the sum has. Exact where `rank` has room for all of them: what is lost is the
// rounding to `dtype`. Errors of DecomposeProduct and FactorTriplets.
absl::StatusOr<LoraFactors> FactorProduct(FactorColumns left, FactorColumns right,
                                          const LoraRank& rank, DType dtype, Executor& executor);

// Upper bound of the memory that it takes, its arguments and result included; bytes.
uint64_t FactorProductBytes(uint64_t rows, uint64_t cols, uint64_t count, uint64_t most);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_PRODUCT_FACTORS_H_
