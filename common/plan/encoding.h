// Tensors that the output stores block-scaled (FP8, MXFP4), as the reference does: `out_dtype:
// source`. What is written and where it lies; common/format/FORMAT.md has the rules.
#ifndef MERGANSER_COMMON_PLAN_ENCODING_H_
#define MERGANSER_COMMON_PLAN_ENCODING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"
#include "common/plan/plan.h"

namespace merganser {

// Sets the encoding of `tensor`, of which spec is set, where the tensor whose form it takes is
// block-scaled: the reference's, of those that it is merged from, else the first. `models` as for
// MakePlan. kInvalidArgument where the output's name does not allow it.
absl::Status SetEncoding(const std::vector<const Checkpoint*>& models, uint32_t reference,
                         const AlignedTensor& aligned, PlannedTensor& tensor);

// Values and scales of a block-scaled tensor of `model`, and the tensors that its quantised form
// alone uses (Checkpoint::left_out), to be copied as they are: needs and leaves are not set.
// Values and scales get names after `name`, the tensor's in the output; kInvalidArgument where it
// does not allow that.
absl::StatusOr<std::vector<PlannedTensor>> CopiedParts(const CheckpointTensor& tensor,
                                                       const std::string& name, uint32_t model);
std::vector<PlannedTensor> CopiedScales(const Checkpoint& reference, uint32_t model);

// Elements at multiples of which an encoded tensor may be cut: whole rows of blocks, or more where
// these do not lie behind each other. `tensor` has elements.
uint64_t EncodedStep(const PlannedTensor& tensor);

// Bytes of the output that elements [first, first + count) take, without scales.
uint64_t OutputBytes(const PlannedTensor& tensor, uint64_t count);

// Bytes of the scales of an encoded tensor.
uint64_t ScaleBytes(const PlannedTensor& tensor);

// What of values and scales, as files have them, belongs to elements of an encoded tensor.
struct EncodedRange {
  uint64_t values_begin = 0, values_bytes = 0;  // from the first value on
  uint64_t scales_begin = 0, scales_bytes = 0;  // from the first scale on
};
// Elements [first, first + count), at least one: a multiple of EncodedStep, or up to the end.
EncodedRange RangeOf(const PlannedTensor& tensor, uint64_t first, uint64_t count);

// Whether the source's values are those of an encoded tensor's original, which is read first.
bool IsOriginal(const Plan& plan, const PlannedTensor& tensor, const PlannedSource& source);

// The tensors of the file that `tensor` is, in their order, with where each begins in its shard.
struct WrittenTensor {
  SafetensorsSpec spec;
  uint64_t offset = 0;  // bytes from the start of the shard
};
std::vector<WrittenTensor> WrittenTensors(const PlannedTensor& tensor);

// For people: "BF16", "F8_E4M3", "MXFP4".
std::string OutputTypeName(const PlannedTensor& tensor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_ENCODING_H_
