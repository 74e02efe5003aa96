// Where sources of a plan are decoded, and which of them reach methods as task vectors.
#ifndef MERGANSER_COMMON_PLAN_PLANNED_ORIGINS_H_
#define MERGANSER_COMMON_PLAN_PLANNED_ORIGINS_H_

#include "common/checkpoint/checkpoint.h"
#include "common/plan/plan.h"

namespace merganser {

// Scales and update of `tensor`, of which `source` has model, shard, offset and dtype. Nothing for
// a source in parts.
void AddOrigin(const CheckpointTensor& tensor, PlannedSource& source);

// Makes task vectors of the experts that are the base's own values and an update, or no other than
// the base's, where the method takes them (TensorNeeds::takes_deltas) and the base is read. Only
// experts that have files in several folders: all others are read as they always were.
void TakeDeltas(const Plan& plan, PlannedTensor& tensor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_PLANNED_ORIGINS_H_
