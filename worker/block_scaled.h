// Sources that files hold as values of few bits with a scale a block (tensor_origin.h), decoded as
// they are read.
#ifndef MERGANSER_WORKER_BLOCK_SCALED_H_
#define MERGANSER_WORKER_BLOCK_SCALED_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"
#include "worker/unit_source.h"

namespace merganser {

// Values and scales of a source that are in memory, as its files have them: bytes from
// `values_begin` and `scales_begin` on, counted from the tensor's first value and scale.
struct HeldBlocks {
  std::span<const std::byte> values, scales;
  uint64_t values_begin = 0;
  uint64_t scales_begin = 0;
};

// Fills `view`, of the source's dtype (F32, BF16 or F16), with elements [first, first + view.size)
// of the decoded tensor, whose shape is `tensor.spec.shape`. `source` has `scales` and `coded`. Any
// range; the same bits whatever range is read. Beside the view it takes BlockScratchBytes.
//
// kDataLoss for a scale that is NaN, infinite or negative, or zero for values that are not: it
// names file, tensor and which scale. NaN and infinite values are decoded as they are: what reads
// them checks. Errors of the store name file and tensor. With `held`, which has all that the
// elements need, no file is read.
absl::Status ReadBlockScaled(const JobContext& job, const PlannedSource& source,
                             const PlannedTensor& tensor, uint64_t first, const TensorView& view,
                             const HeldBlocks* held = nullptr);

}  // namespace merganser

#endif  // MERGANSER_WORKER_BLOCK_SCALED_H_
