// The compute stage: a segment's inputs in memory to its output in memory, or to
// what analysis finds.
#ifndef MERGANSER_WORKER_SEGMENT_COMPUTE_H_
#define MERGANSER_WORKER_SEGMENT_COMPUTE_H_

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/engine/unit_result.h"
#include "common/linalg/block_encode.h"
#include "common/plan/plan.h"
#include "worker/segment_io.h"

namespace merganser {

// What a segment's computation found, beside its output.
struct SegmentFindings {
  std::vector<LeafReport> leaves;   // none for elementwise work
  std::vector<GroupReport> groups;  // of a gate that was derived here
  // Of a round that analyzes: one a leaf, and its group's histogram.
  std::vector<GroupStats::LeafSums> sums;
  std::vector<GroupCounts> counts;
  std::vector<Keepsake> keepsakes;        // one a leaf, where the method keeps any
  std::optional<BlockRounding> rounding;  // where the output is encoded
};

// A round that writes fills data.output; `unit.shard` is the output shard, whose
// header a header segment holds. A round that analyzes leaves it alone. `keepsakes`
// is what the segment's analysis left, where that was in another round.
//
// NaN or infinite input and integer tensors that differ between models are
// kDataLoss, a result that overflows its dtype kOutOfRange; messages name file,
// tensor and element.
absl::StatusOr<SegmentFindings> ComputeSegment(const LeasedUnit& unit, const Segment& segment,
                                               SegmentData& data,
                                               const std::vector<Keepsake>& keepsakes,
                                               const Clock& clock, Executor& executor);

}  // namespace merganser

#endif  // MERGANSER_WORKER_SEGMENT_COMPUTE_H_
