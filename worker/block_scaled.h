// Values with a scale a block, as float elements.
#ifndef MERGANSER_WORKER_BLOCK_SCALED_H_
#define MERGANSER_WORKER_BLOCK_SCALED_H_

#include <cstdint>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"
#include "worker/unit_source.h"

namespace merganser {

// Fills `view`, of source.dtype, with elements [first, first + view.size) of a source with scales.
absl::Status ReadBlockScaled(const JobContext& job, const PlannedSource& source,
                             const PlannedTensor& tensor, uint64_t first, const TensorView& view);

}  // namespace merganser

#endif  // MERGANSER_WORKER_BLOCK_SCALED_H_
