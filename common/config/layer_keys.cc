#include "common/config/layer_keys.h"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>

#include "common/checkpoint/checkpoint.h"

namespace merganser {
namespace {

using Names = std::initializer_list<std::string_view>;

struct Known {
  std::string_view key;
  LayerRule rule;
};

// As the configuration classes of transformers and of models with code of their own call them.
constexpr Known kKnown[] = {
    {"layer_types", LayerRule::kEntries},
    {"layers_block_type", LayerRule::kEntries},
    {"layer_block_types", LayerRule::kEntries},
    {"mlp_layer_types", LayerRule::kEntries},
    {"attention_layers", LayerRule::kEntries},
    {"attn_type_list", LayerRule::kEntries},
    {"no_rope_layers", LayerRule::kEntries},
    {"use_rope_layers", LayerRule::kEntries},
    {"hybrid_layer_pattern", LayerRule::kEntries},
    {"hybrid_override_pattern", LayerRule::kEntries},
    {"activation_sparsity_pattern", LayerRule::kEntries},
    {"block_configs", LayerRule::kEntries},
    {"num_query_heads", LayerRule::kEntries},
    {"num_attention_heads", LayerRule::kEntries},
    {"num_key_value_heads", LayerRule::kEntries},
    {"num_kv_heads", LayerRule::kEntries},
    {"head_dim", LayerRule::kEntries},
    {"ffn_multipliers", LayerRule::kEntries},
    {"intermediate_size", LayerRule::kEntries},
    {"moe_intermediate_size", LayerRule::kEntries},
    {"ffn_hidden_size", LayerRule::kEntries},
    {"num_experts", LayerRule::kEntries},
    {"num_local_experts", LayerRule::kEntries},
    {"num_shared_expert", LayerRule::kEntries},
    {"num_shared_experts", LayerRule::kEntries},
    {"num_experts_per_tok", LayerRule::kEntries},
    {"moe_topk", LayerRule::kEntries},
    {"sliding_window", LayerRule::kEntries},
    {"rope_theta", LayerRule::kEntries},
    {"partial_rotary_factors", LayerRule::kEntries},
    {"swiglu_limits", LayerRule::kEntries},
    {"swiglu_limits_shared", LayerRule::kEntries},
    {"compress_ratios", LayerRule::kEntries},
    {"indexer_types", LayerRule::kEntries},
    {"num_attention_heads_per_layer", LayerRule::kEntries},
    {"layer_rope_theta", LayerRule::kEntries},
    {"attn_layers", LayerRule::kEntries},
    {"block_types", LayerRule::kCycle},
    {"attention_types", LayerRule::kRuns},
    {"mlp_only_layers", LayerRule::kNumbers},
    {"attn_layer_indices", LayerRule::kNumbers},
    {"fla_hybrid_attention_indices", LayerRule::kNumbers},
    {"full_attn_idxs", LayerRule::kNumbers},
    {"full_attention_idx", LayerRule::kNumbers},
    {"moe_layers", LayerRule::kNumbers},
    {"moe_layers_enum", LayerRule::kNumbers},
    {"moe_layer_list", LayerRule::kNumbers},
    {"cross_attention_layers", LayerRule::kNumbers},
    {"hybrid_layer_ids", LayerRule::kNumbers},
    {"kda_layers", LayerRule::kNumbers},
    {"local_layer_ids", LayerRule::kNumbers},
    {"full_attn_layers", LayerRule::kNumbers},
    {"full_attention_layers", LayerRule::kNumbers},
    {"slstm_at", LayerRule::kNumbers},
    {"first_k_dense_replace", LayerRule::kFirst},
    {"n_dense_first_layers", LayerRule::kFirst},
    {"dense_mlp_idx", LayerRule::kFirst},
    {"num_dense_layers", LayerRule::kFirst},
    {"n_dense_layers", LayerRule::kFirst},
    {"num_hash_layers", LayerRule::kFirst},
    {"moe_layer_start_index", LayerRule::kFirst},
    {"max_window_layers", LayerRule::kFirst},
    {"moe_layer_end_index", LayerRule::kUpTo},
    {"num_kv_shared_layers", LayerRule::kLast},
    {"attn_layer_period", LayerRule::kEvery},
    {"expert_layer_period", LayerRule::kEvery},
    {"decoder_sparse_step", LayerRule::kEvery},
    {"full_attention_interval", LayerRule::kEvery},
    {"interleave_moe_layer_step", LayerRule::kEvery},
    {"moe_layer_freq", LayerRule::kEvery},
    {"moe_layer_frequency", LayerRule::kEvery},
    {"moe_layer_interval", LayerRule::kEvery},
    {"moe_every_n_layer", LayerRule::kEvery},
    {"no_rope_layer_interval", LayerRule::kEvery},
    {"sliding_window_pattern", LayerRule::kEvery},
    {"_sliding_window_pattern", LayerRule::kEvery},
    {"layer_switch", LayerRule::kEvery},
    {"layer_group_size", LayerRule::kEvery},
    {"global_attn_every_n_layers", LayerRule::kEvery},
    {"dense_attention_every_n_layers", LayerRule::kEvery},
    {"cross_layer_interval", LayerRule::kEvery},
    {"cla_share_factor", LayerRule::kEvery},
    {"mb_per_layer", LayerRule::kEvery},
    {"mamba_step", LayerRule::kEvery},
    {"attn_layer_offset", LayerRule::kOffset},
    {"expert_layer_offset", LayerRule::kOffset},
    {"moe_layer_offset", LayerRule::kOffset},
    {"pruned_heads", LayerRule::kByNumber},
    {"scale_depth", LayerRule::kDepth},
    {"scale_attn_by_inverse_layer_idx", LayerRule::kOnNumber},
    {"order_of_interleaved_layers", LayerRule::kUnknown},
    {"num_mem_blocks", LayerRule::kUnknown},
};

// Names with "layer" in them that tell of no layer's number.
constexpr std::string_view kOtherWords[] = {
    "norm",       "layernorm", "layerdrop",  "dropout", "drop",    "scale",   "nextn",
    "mtp",        "projector", "pooler",     "pooling", "head",    "vision",  "visual",
    "image",      "audio",     "video",      "speech",  "adapter", "feature", "select",
    "classifier", "embedding", "embeddings", "embed",   "init",    "std",     "probing",
    "encoder",    "loss",      "output",     "aux",     "rope",    "rotary"};

bool Is(std::string_view key, const Names& names) {
  return std::find(names.begin(), names.end(), key) != names.end();
}

// The parts of a key between its '_'.
class Words {
 public:
  explicit Words(std::string_view key) {
    for (size_t begin = 0; begin <= key.size();) {
      const size_t end = std::min(key.find('_', begin), key.size());
      words_.push_back(key.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  bool Have(std::string_view word) const {
    return std::find(words_.begin(), words_.end(), word) != words_.end();
  }
  bool HaveAny(const Names& any) const {
    return std::any_of(any.begin(), any.end(), [&](std::string_view word) { return Have(word); });
  }
  // One behind the other.
  bool Have(std::string_view word, std::string_view next) const {
    const auto at = std::find(words_.begin(), words_.end(), word);
    return at != words_.end() && at + 1 != words_.end() && *(at + 1) == next;
  }
  std::string_view first() const { return words_.front(); }

 private:
  std::vector<std::string_view> words_;
};

}  // namespace

LayerKey FindLayerKey(std::string_view key) {
  if (IsLayerCount(key)) return {LayerRule::kCount, true};
  for (const Known& known : kKnown) {
    if (known.key == key) return {known.rule, true};
  }
  const Words words(key);
  for (const std::string_view other : kOtherWords) {
    if (words.Have(other)) return {};
  }
  const bool layers = words.HaveAny({"layer", "layers", "layerwise"});
  const bool blocks = words.HaveAny({"block", "blocks"});
  const bool kinds = words.HaveAny({"attn", "attention", "moe", "mamba", "dense", "sparse",
                                    "global", "local", "full", "hybrid"});
  if (layers && words.first() == "use") return {LayerRule::kOnNumber, false};
  if (words.HaveAny({"idx", "idxs", "ids", "indices", "indexes"}) && (layers || kinds)) {
    return {LayerRule::kNumbers, false};
  }
  if (words.HaveAny({"interval", "period", "freq", "frequency", "every"}) && (layers || kinds)) {
    return {LayerRule::kEvery, false};
  }
  // Of a list or string only: a number beside such a name is the size of something, and
  // "hidden_size_per_layer_input" is the same in all layers.
  if (words.Have("pattern") || (blocks && !layers) || words.Have("per", "layer")) {
    return {LayerRule::kEntries, false};
  }
  return {layers ? LayerRule::kUnknown : LayerRule::kNone, false};
}

std::string PeriodOf(std::string_view key) {
  if (key == "moe_layer_offset") return "moe_every_n_layer";
  std::string period(key);
  const size_t at = period.rfind("offset");
  if (at != std::string::npos) period.replace(at, 6, "period");
  return period;
}

bool IsOtherPart(std::string_view key) {
  constexpr std::string_view kParts[] = {
      "vision",        "visual",   "audio",      "image",     "video",   "speech",   "quant",
      "compress",      "rope",     "generation", "projector", "rotary",  "encoder",  "codec",
      "task_specific", "auto_map", "id2label",   "label2id",  "vocoder", "tokenizer"};
  return std::any_of(std::begin(kParts), std::end(kParts), [&](std::string_view part) {
    return key.find(part) != std::string_view::npos;
  });
}

bool IsNoListOfLayers(std::string_view key) {
  const bool rope =
      key.find("rope") != std::string_view::npos && key.find("layer") == std::string_view::npos;
  return key == "architectures" || key.find("token") != std::string_view::npos || rope ||
         Is(key, {"mrope_section", "time_step_limit", "languages", "suppress_tokens",
                  "begin_suppress_tokens", "bad_words_ids", "keys_to_ignore_at_inference"});
}

AlternatingType FindAlternating(std::string_view model_type) {
  if (model_type.ends_with("_text")) model_type.remove_suffix(5);
  if (Is(model_type, {"gemma2", "gpt_oss", "minimax"})) {
    return {2, {"layer_types", "attn_type_list"}};
  }
  if (Is(model_type, {"gemma3", "gemma4"})) {
    return {6, {"layer_types", "sliding_window_pattern", "_sliding_window_pattern"}};
  }
  if (model_type == "gemma3n") return {5, {"layer_types"}};
  if (Is(model_type, {"cohere2", "exaone4"})) {
    return {4,
            {"layer_types", "sliding_window_pattern", "_sliding_window_pattern", "layer_switch"}};
  }
  if (model_type == "olmo3") return {4, {"layer_types"}};
  if (Is(model_type, {"qwen3_next", "qwen3_5", "qwen3_5_moe"})) {
    return {4, {"layer_types", "full_attention_interval"}};
  }
  if (Is(model_type, {"smollm3", "llama4"})) {
    return {4, {"no_rope_layers", "no_rope_layer_interval", "layer_types"}};
  }
  if (model_type == "modernbert") return {3, {"layer_types", "global_attn_every_n_layers"}};
  if (model_type == "recurrent_gemma") return {3, {"block_types", "layers_block_type"}};
  if (model_type == "jamba") return {8, {"attn_layer_period", "layers_block_type", "layer_types"}};
  if (model_type == "diffllama") return {0, {}};
  return {1, {}};
}

}  // namespace merganser
