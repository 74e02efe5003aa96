// The compute stage: a segment's inputs in memory to its output in memory.
#ifndef MERGANSER_WORKER_SEGMENT_COMPUTE_H_
#define MERGANSER_WORKER_SEGMENT_COMPUTE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "worker/segment_io.h"

namespace merganser {

// Fills data.output; `shard` is the output shard, whose header a header segment
// holds. Returns the leaves' measurements (none for elementwise work). NaN or
// infinite input and integer tensors that differ between models are kDataLoss,
// a result that overflows its dtype kOutOfRange; messages name file, tensor and
// element.
absl::StatusOr<std::vector<LeafReport>> ComputeSegment(const JobContext& job,
                                                       const Segment& segment, uint32_t shard,
                                                       SegmentData& data, const Clock& clock,
                                                       Executor& executor);

}  // namespace merganser

#endif  // MERGANSER_WORKER_SEGMENT_COMPUTE_H_
