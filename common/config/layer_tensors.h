// Tensors outside of layers that hold something for each layer. Private to this folder.
#ifndef MERGANSER_COMMON_CONFIG_LAYER_TENSORS_H_
#define MERGANSER_COMMON_CONFIG_LAYER_TENSORS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/config/config_json.h"

namespace merganser {

// Of an output whose layers moved: such a tensor would have to be cut and put together as the
// layers are. kInvalidArgument where the name says so (Gemma 3n and 4: embed_tokens_per_layer,
// [vocabulary, layers * size]); a warning for a tensor that has one row or element a layer, where
// no tensor of a layer has such a side.
absl::StatusOr<std::vector<std::string>> CheckLayerTensors(const Checkpoint& reference,
                                                           const ConfigChanges& changes);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_LAYER_TENSORS_H_
