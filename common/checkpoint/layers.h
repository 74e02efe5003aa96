// Layers as tensors' names tell them: "model.layers.12.mlp.up_proj.weight" is of
// layer 12 of the stack "model.layers".
#ifndef MERGANSER_COMMON_CHECKPOINT_LAYERS_H_
#define MERGANSER_COMMON_CHECKPOINT_LAYERS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

// The first component that is a number and follows `layers`, `h`, `blocks`,
// `layer` or `block`.
struct LayerName {
  std::string_view stack;  // what stands before the number
  uint64_t layer = 0;
  size_t begin = 0;  // the number's digits in the name
  size_t end = 0;
};
std::optional<LayerName> ParseLayer(std::string_view name);

// `name` with its layer's number replaced.
std::string WithLayer(std::string_view name, uint64_t layer);

// Stack by stack, how many layers the model has: one more than the highest
// number, without those for multi-token prediction (`num_nextn_predict_layers`)
// that config.json does not count among num_hidden_layers.
using LayerCounts = std::map<std::string, uint64_t, std::less<>>;
LayerCounts CountLayers(const Checkpoint& model);

// Whether a tensor outside of layers comes before them (embeddings), not behind
// (norm, head).
bool IsBeforeLayers(std::string_view name);

// Layers of the output, in order, each from the layer of the same place of every
// source.
struct LayerSlice {
  struct Source {
    uint32_t model = 0;
    uint64_t first_layer = 0;
  };
  std::vector<Source> sources;  // the first is the slice's reference
  uint64_t layers = 0;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_LAYERS_H_
