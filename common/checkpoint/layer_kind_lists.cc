#include <algorithm>
#include <initializer_list>
#include <span>

#include "common/checkpoint/layer_kind_rules.h"
#include "common/checkpoint/layer_kinds.h"

namespace merganser {
namespace {

bool Is(std::string_view key, std::span<const std::string_view> names) {
  return std::find(names.begin(), names.end(), key) != names.end();
}
bool Is(std::string_view key, std::initializer_list<std::string_view> names) {
  return Is(key, std::span(names.begin(), names.size()));
}

// Whatever the class: a file with such a list says with it what these keys said before. Of
// attention, and of feed-forward layers.
constexpr std::string_view kOfTypes[] = {"_sliding_window_pattern",
                                         "attn_layer_offset",
                                         "attn_layer_period",
                                         "attn_type_list",
                                         "full_attention_interval",
                                         "full_attn_idxs",
                                         "full_attn_layers",
                                         "global_attn_every_n_layers",
                                         "hybrid_layer_ids",
                                         "hybrid_override_pattern",
                                         "kda_layers",
                                         "layer_group_size",
                                         "layer_switch",
                                         "local_layer_ids",
                                         "max_window_layers",
                                         "order_of_interleaved_layers",
                                         "prefix_dense_sliding_window_pattern",
                                         "sliding_window_pattern"};
constexpr std::string_view kOfMlps[] = {
    "decoder_sparse_step", "dense_mlp_idx",      "first_k_dense_replace", "moe_layer_end_index",
    "moe_layer_freq",      "moe_layer_interval", "moe_layer_start_index", "num_hash_layers"};

}  // namespace

std::string_view WithoutTextSuffix(std::string_view model_type) {
  if (model_type.ends_with("_text")) model_type.remove_suffix(5);
  return model_type;
}

std::vector<std::string_view> ListsInsteadOf(std::string_view model_type, std::string_view key) {
  if (ReadsLayerNumbers(WithoutTextSuffix(model_type))) {
    // What has no list in these classes.
    if (Is(key, {"attn_layer_offset", "attn_layer_period"}) || Is(key, kOfMlps)) return {};
  }
  if (Is(key, kOfTypes)) return {"layer_types", "layers_block_type"};
  if (Is(key, kOfMlps)) return {"mlp_layer_types"};
  if (key == "no_rope_layer_interval") return {"no_rope_layers"};
  if (key == "interleave_moe_layer_step") return {"moe_layers"};
  if (Is(key, {"moe_layer_offset", "moe_every_n_layer"})) return {"moe_layers_enum"};
  if (key == "attention_types") return {"attention_layers"};
  return {};
}

}  // namespace merganser
