// Sources whose elements are more than one range of a file: put together of parts, decoded, copied
// from another's, or sums with an update.
//
// In two steps, since sources may share values: first all have their values, then updates are
// added to them where they lie.
#ifndef MERGANSER_WORKER_DECODE_SOURCE_H_
#define MERGANSER_WORKER_DECODE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/linalg/low_rank_triplets.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"
#include "worker/block_scaled.h"
#include "worker/unit_source.h"

namespace merganser {

// Fills view `source` of `views`, one a source of the tensor, with its values from element `first`
// on, before any update and exactly: from its files, or from the earlier source that has them
// (SharedValues), which must hold them. A task vector of which no values are read: zeros, or
// nothing where an update will fill it. `held` has those of the original of an encoded tensor, else
// it is null. Errors name file and tensor.
absl::Status ReadValues(const JobContext& job, const PlannedTensor& tensor, size_t source,
                        uint64_t first, std::span<const TensorView> views,
                        const HeldBlocks* held = nullptr);

// Fills `view` with values of `source` from element `first` on, as ReadValues without another's.
// The view is of the type that the values have, or of a wider one.
absl::Status ReadStored(const JobContext& job, const PlannedTensor& tensor,
                        const PlannedSource& source, uint64_t first, const TensorView& view,
                        const HeldBlocks* held = nullptr);

// Adds the update of a source to its values. kDataLoss names the adapter's file and tensor where a
// factor is not finite or the sum does not fit; values that are not finite are left as they are.
// `factors`, unless null, gets those of the matrices of the view, of a source of known rank.
absl::Status ApplyUpdate(const JobContext& job, const PlannedTensor& tensor, size_t source,
                         uint64_t first, const TensorView& view,
                         std::vector<FactoredDelta>* factors = nullptr);

}  // namespace merganser

#endif  // MERGANSER_WORKER_DECODE_SOURCE_H_
