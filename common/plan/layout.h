// Where everything lies: output shards, and their cutting into segments and units.
#ifndef MERGANSER_COMMON_PLAN_LAYOUT_H_
#define MERGANSER_COMMON_PLAN_LAYOUT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "common/plan/plan.h"

namespace merganser {

// Sets elements, leaves and elements of a leaf, by the tensor's shape and the split that
// it needs; at most kMaxElements, and matrices have a dimension.
void SetLeaves(PlannedTensor& tensor);

// Leaves [leaf_begin, leaf_end) of a tensor that has them, the scales of an encoded one, and a
// shard's header, with what they read, write and take of memory.
Segment MakeSegment(const Plan& plan, uint32_t tensor, uint64_t leaf_begin, uint64_t leaf_end);
Segment MakeScalesSegment(const Plan& plan, uint32_t tensor);
Segment MakeHeaderSegment(const Plan& plan, uint32_t shard);

// Distributes `plan.tensors` over output shards of at most `max_shard_size`
// bytes of tensor data (a larger tensor gets a shard of its own) and sets
// plan.shards and every tensor's shard and offset. Their names begin with `stem`.
absl::Status LayOutShards(uint64_t max_shard_size, const std::string& stem, Plan& plan);

// Cuts the shards into segments and units of about `unit_size` bytes, or what plan.output wants
// more (UnitTarget); tensors above
// `split_size` bytes are cut where their method allows it. Sets plan.units, which
// groups span segments, and the totals. kInvalidArgument for a model beyond
// kMaxElements or kMaxSegments.
absl::Status CutUnits(uint64_t unit_size, uint64_t split_size, Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_LAYOUT_H_
