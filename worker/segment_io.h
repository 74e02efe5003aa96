// The read stage: a segment's inputs, from their stores into one buffer.
#ifndef MERGANSER_WORKER_SEGMENT_IO_H_
#define MERGANSER_WORKER_SEGMENT_IO_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
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

}  // namespace merganser

#endif  // MERGANSER_WORKER_SEGMENT_IO_H_
