// Adds adapters' products to weights, or makes task vectors of them.
#ifndef MERGANSER_WORKER_LOW_RANK_SOURCE_H_
#define MERGANSER_WORKER_LOW_RANK_SOURCE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/linalg/low_rank_triplets.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"
#include "worker/unit_source.h"

namespace merganser {

// Adds the update of `source` to elements [first, first + view.size) of the tensor, which `view`
// has, of source.dtype; at least one. With source.delta the view gets the difference that it makes
// instead. With D the sum of the terms,
//
//   D_ij = sum_t scale_t * (sum_k rows_ik * columns_jk)        terms in order, k ascending, each
//                                                             one fused multiply-add in float64
//   weights          W + D                                     task vector   D
//   with magnitudes  m_i / ||(W + D)_i|| * (W + D)_ij          that - W_ij
//
// in float64, rounded once to the view's type. With LowRankUpdate::rounded_to each term is rounded
// before it is added (AddRoundedProducts). An element does not depend on the range it is asked
// for in, nor on the CPU. Factors are read for the range, magnitudes and rows that reach beyond it
// as well (CostOfReading); a column's length takes all rows, which are read piece by piece.
//
// kDataLoss names the adapter's file and tensor where a factor or magnitude is NaN or infinite, a
// sum does not fit, or a row to be scaled is zero. Where values of `view` are not finite the view
// is left as it is: whoever checks the source names the model's file. The store's errors.
//
// `factors`, unless null, gets those of the matrices of the range, which must be whole (KnownRank).
absl::Status AddLowRankUpdate(const JobContext& job, const PlannedTensor& tensor,
                              const PlannedSource& source, uint64_t first, const TensorView& view,
                              std::vector<FactoredDelta>* factors = nullptr);

}  // namespace merganser

#endif  // MERGANSER_WORKER_LOW_RANK_SOURCE_H_
