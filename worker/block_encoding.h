// Merged values as the bytes of an output that is stored block-scaled.
#ifndef MERGANSER_WORKER_BLOCK_ENCODING_H_
#define MERGANSER_WORKER_BLOCK_ENCODING_H_

#include "common/base/executor.h"
#include "common/linalg/block_encode.h"
#include "common/plan/plan.h"
#include "worker/segment_io.h"

namespace merganser {

// Fills `data.encoded`, and of `data.scales` what belongs to the segment, from the float32 values
// `data.output`; blocks that are the original's are copied. The bytes, and what is told of the
// rounding, do not depend on threads.
BlockRounding EncodeSegment(const PlannedTensor& tensor, const Segment& segment,
                            const SegmentData& data, Executor& executor);

}  // namespace merganser

#endif  // MERGANSER_WORKER_BLOCK_ENCODING_H_
