// Weights that are stored block-scaled, taken for what they are decoded to. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_QUANTISED_INPUTS_H_
#define MERGANSER_COMMON_CHECKPOINT_QUANTISED_INPUTS_H_

#include "absl/status/status.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// Replaces each tensor of F8_E4M3 or F8_E5M2, of pairs of e2m1 (DeepSeek-V4's experts) or of MXFP4
// blocks (gpt-oss) by the tensor that it is decoded to: name, shape and dtype of its bfloat16 form,
// with `scales` and `coded`. The dtype is config.json's where that is float32, float16 or bfloat16,
// else bfloat16: what transformers decodes to. Scales, of values and of activations, are no tensors
// of the checkpoint any more; notes say what was done.
//
// kInvalidArgument, with file, tensor, what was found, expected, and what to do: values without
// scales, scales without values, of another shape or of a type that no scale has, and all that
// RefuseQuantised refuses.
absl::Status DecodeQuantised(Checkpoint& checkpoint);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_QUANTISED_INPUTS_H_
