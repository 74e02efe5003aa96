// What config.json says of layers by their number, when an output has other layers than the
// model whose config it gets. Pure.
#ifndef MERGANSER_COMMON_CONFIG_CONFIG_LAYERS_H_
#define MERGANSER_COMMON_CONFIG_CONFIG_LAYERS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace merganser {

// What takes the place of one value.
struct LayerEdit {
  // Of a list: the entries, by their old numbers, in their new order.
  std::vector<uint64_t> entries;
  // Of any other value, or of a list that is made anew: JSON.
  std::string json;
};

// The place of a value in nested objects: JSON's pointer, "/text_config/layer_types".
std::string JsonPath(std::string_view parent, std::string_view key);

struct LayerEdits {
  std::map<std::string, LayerEdit> by_path;  // JsonPath
  // Lists that are to stand in the text_config where there is one (`nested`), else at the top:
  // JSON, by keys.
  std::map<std::string, std::string> added;
  bool nested = false;
  // Without the file's name, "key 'x' ...": what is kept though it may not fit any more, and what
  // is kept because another key says the same.
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
};

// `config` is a JSON object of a model with `layers` layers; layer i of the output was its layer
// `origins[i]` (which may be above `layers`: of another model). Looked at are the top, a nested
// text_config, and what is nested in them and not of another part of the model (vision, audio,
// rope, quantization). Every value that says something of layers by their number is written anew
// where that can be said with the same keys, and warned of where not:
//
//   layer_types            a list or string with one entry a layer follows its layers
//   mlp_only_layers        a list of layers' numbers is numbered anew
//   first_k_dense_replace  a count from the first or the last layer becomes another count
//   full_attention_interval, attn_layer_offset   every n-th layer: kept if it still holds; else,
//                          where the class reads a list with an entry a layer in its place
//                          (LayerKindsOf), that list is added, with a warning
//   pruned_heads           a map by layers' numbers is numbered anew
//
// Keys that nobody here knows count as such by their names ("..._layers", "..._pattern"); a list
// that has one entry a layer and no such name is kept with a warning. A model whose class
// alternates kinds of layers with no key for it (gemma2) gets a list, or is warned of as well.
//
// kInvalidArgument, "key 'x': ...", when a list lacks an entry for a layer. The number of layers
// itself is left to the caller.
absl::StatusOr<LayerEdits> EditLayers(std::string_view config, uint64_t layers,
                                      const std::vector<uint64_t>& origins);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_CONFIG_LAYERS_H_
