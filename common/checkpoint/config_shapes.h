// Whether a model's config.json is of its tensors. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_CONFIG_SHAPES_H_
#define MERGANSER_COMMON_CHECKPOINT_CONFIG_SHAPES_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// kInvalidArgument, with file, key, tensor, what was found and what was expected, where heads,
// hidden or intermediate size or the number of layers say otherwise than the model's tensors.
// Looked at are families whose projections are plain (Llama, Mistral, Qwen 2 and 3, Gemma, ...)
// and, of those, what the file itself says: nothing is told of multi-latent attention, gated
// queries, encoders, parts of models or anything that is not known. `is_reference`: fewer layers
// than the config says are looked for as well; of other models those are missing tensors.
absl::Status CheckConfigShapes(const Checkpoint& model, bool is_reference);

// kInvalidArgument where a model has more layers than the reference, or fewer by its own
// config.json: layer by layer they are other models, and a recipe with slices has to say which
// layers go together. Layers behind the last that config.json counts are none (multi-token
// prediction).
absl::Status CheckDepths(const std::vector<const Checkpoint*>& models, size_t reference);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_CONFIG_SHAPES_H_
