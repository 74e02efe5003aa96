// Weights that loading would apply to others, so that the stored ones are not
// what the model computes with. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_APPLIED_H_
#define MERGANSER_COMMON_CHECKPOINT_APPLIED_H_

#include <vector>

#include "absl/status/status.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// kInvalidArgument when a tensor's name shows an adapter of PEFT's, LyCORIS' or
// kohya's, or a tensor is part of a parametrization of torch's: weight norm, spectral
// norm, pruning, by the names and shapes of its parts.
absl::Status RefuseAppliedTensors(const Checkpoint& checkpoint);

// kInvalidArgument when a layer of one model is "base_layer" of it in another, as PEFT
// stores what an adapter wraps. Where all have it so, it is the class's own.
absl::Status RefuseWrappedLayers(const std::vector<const Checkpoint*>& models);

// kInvalidArgument when the files of an adapter lie beside the weights:
// transformers applies what adapter_config.json describes.
absl::Status RefuseAdapterBeside(ObjectStore& store);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_APPLIED_H_
