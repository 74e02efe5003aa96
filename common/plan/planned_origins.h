// Where sources of a plan are decoded, and which of them reach methods as task vectors.
#ifndef MERGANSER_COMMON_PLAN_PLANNED_ORIGINS_H_
#define MERGANSER_COMMON_PLAN_PLANNED_ORIGINS_H_

#include <vector>

#include "absl/status/status.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"
#include "common/plan/plan.h"

namespace merganser {

// Scales and update of `tensor`, of which `planned` has shard, offset and dtype.
void SetOrigin(const CheckpointTensor& tensor, PlannedSource& planned);

// Gives `planned`, which has all else, the scales and the update of the input tensor `source`.
// kUnimplemented where rows of such a tensor lie elsewhere than in the output, or the tensor is
// copied: they are decoded as a whole.
absl::Status AddOrigin(const std::vector<const Checkpoint*>& models, const TensorSource& source,
                       const PlannedTensor& tensor, PlannedSource& planned);

// Of a tensor with all its sources: makes task vectors of the experts that are the base's own
// values and an update, or no other than the base's, where the method takes them
// (TensorNeeds::takes_deltas) and the base is read. Only experts that have files in several
// folders: all others are read as they always were. kInvalidArgument where factors or scales do not
// fit the tensor.
absl::Status SettleOrigins(const Plan& plan, PlannedTensor& tensor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_PLANNED_ORIGINS_H_
