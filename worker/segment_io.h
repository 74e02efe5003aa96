// What a segment reads and leaves between rounds: its inputs, from their stores
// into one buffer, and the keepsakes of its leaves.
#ifndef MERGANSER_WORKER_SEGMENT_IO_H_
#define MERGANSER_WORKER_SEGMENT_IO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"
#include "worker/buffer_pool.h"
#include "worker/unit_source.h"

namespace merganser {

// A segment in memory: every source's elements and the place for the output,
// each at a cache line of `buffer`.
struct SegmentData {
  Buffer buffer;
  std::vector<TensorView> sources;  // as PlannedTensor::sources
  MutableTensorView output;         // of a header segment: bytes, as U8
};

// Bytes of buffer that a segment needs; beside it, its tensor's workspace.
uint64_t SegmentBufferBytes(const Plan& plan, const Segment& segment);

// Lays out `data` in its buffer, which holds SegmentBufferBytes.
void LayOutSegment(const Plan& plan, const Segment& segment, SegmentData& data);

// Reads the sources (nothing for a header). Errors name file and tensor.
absl::Status ReadSegment(const JobContext& job, const Segment& segment, const SegmentData& data);

// Puts down what the analysis of a segment keeps for its application (one a leaf),
// durable when it returns. The bytes' digest. kAborted, and nothing is left, when the
// job is over.
absl::StatusOr<std::string> WriteKeepsakes(const JobContext& job, uint32_t unit, uint32_t segment,
                                           const std::vector<Keepsake>& keepsakes);
// kDataLoss when they are missing or damaged.
absl::StatusOr<std::vector<Keepsake>> ReadKeepsakes(const JobContext& job, uint32_t unit,
                                                    uint32_t segment);

}  // namespace merganser

#endif  // MERGANSER_WORKER_SEGMENT_IO_H_
