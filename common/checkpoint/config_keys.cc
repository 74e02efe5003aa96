#include "common/checkpoint/config_keys.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

using Names = std::initializer_list<std::string_view>;

bool Is(std::string_view key, const Names& names) {
  return std::find(names.begin(), names.end(), key) != names.end();
}
bool Begins(std::string_view key, const Names& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](std::string_view one) { return key.starts_with(one); });
}
bool Holds(std::string_view key, const Names& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view one) { return key.find(one) != std::string_view::npos; });
}

struct Renamed {
  std::string_view from, to;
};
constexpr Renamed kCommon[] = {
    {"n_layer", "num_hidden_layers"},
    {"n_layers", "num_hidden_layers"},
    {"num_layers", "num_hidden_layers"},
    {"n_head", "num_attention_heads"},
    {"n_heads", "num_attention_heads"},
    {"num_heads", "num_attention_heads"},
    {"n_kv_heads", "num_key_value_heads"},
    {"num_kv_heads", "num_key_value_heads"},
    {"n_embd", "hidden_size"},
    {"d_model", "hidden_size"},
    {"n_inner", "intermediate_size"},
    {"ffn_dim", "intermediate_size"},
    {"d_ff", "intermediate_size"},
    {"n_positions", "max_position_embeddings"},
    {"n_ctx", "max_position_embeddings"},
    {"max_seq_len", "max_position_embeddings"},
    {"max_sequence_length", "max_position_embeddings"},
    {"layer_norm_epsilon", "layer_norm_eps"},
    {"norm_epsilon", "layer_norm_eps"},
    {"norm_eps", "layer_norm_eps"},
    {"activation_function", "hidden_act"},
    {"hidden_activation", "hidden_act"},
    {"n_routed_experts", "num_local_experts"},
    {"num_experts", "num_local_experts"},
    {"moe_num_experts", "num_local_experts"},
    {"num_experts_per_token", "num_experts_per_tok"},
    {"experts_per_token", "num_experts_per_tok"},
    {"rotary_emb_base", "rope_theta"},
    {"rotary_base", "rope_theta"},
    {"global_rope_theta", "rope_theta"},
    {"local_rope_theta", "rope_local_base_freq"},
    {"rotary_pct", "partial_rotary_factor"},
    {"rope_pct", "partial_rotary_factor"},
    {"in_chans", "in_channels"},
    {"layers_block_type", "layer_types"},
};

// What classes take where a key is missing, beside false and 0: values that leave what they are
// about as it is. Keys that came to a class later have such a default, so that older files mean
// what they meant.
struct Default {
  std::string_view key, value;
};
constexpr Default kDefaults[] = {
    {"rope_theta", "10000"},
    {"rope_local_base_freq", "10000"},
    {"partial_rotary_factor", "1"},
    {"hidden_act", "silu"},
    {"attention_multiplier", "1"},
    {"embedding_multiplier", "1"},
    {"residual_multiplier", "1"},
    {"logits_scaling", "1"},
    {"logit_scale", "1"},
    {"routed_scaling_factor", "1"},
    {"moe_layer_freq", "1"},
    {"decoder_sparse_step", "1"},
    {"n_group", "1"},
    {"topk_group", "1"},
    {"position_embedding_type", "absolute"},
    {"relative_attention_max_distance", "128"},
    {"dense_act_fn", "relu"},
    {"feed_forward_proj", "relu"},
    {"encoder_stride", "16"},
    {"pooler_act", "tanh"},
    {"median_filter_width", "7"},
    {"classifier_proj_size", "256"},
    {"qkv_bias", "true"},
    {"enable_bias", "true"},
    {"rope_interleave", "true"},
    {"is_causal", "true"},
    {"scale_attn_weights", "true"},
    {"layer_norm_elementwise_affine", "true"},
};

std::string PathTo(std::string_view path, std::string_view leaf) {
  return absl::StrCat(std::string(KeyPrefix(path)), std::string(leaf));
}

// What is derived from other values where it is missing.
bool IsDerived(const ConfigValues& values, std::string_view path, std::string_view value) {
  const auto number = [&](std::string_view leaf) { return WholeValue(values, PathTo(path, leaf)); };
  const auto same = [&](std::optional<uint64_t> other) {
    return other.has_value() && absl::StrCat(*other) == std::string(value);
  };
  const std::string_view leaf = KeyLeaf(path);
  if (leaf == "num_key_value_heads") return same(number("num_attention_heads"));
  if (leaf == "ffn_hidden_size" || leaf == "intermediate_size") {
    const std::optional<uint64_t> hidden = number("hidden_size");
    return hidden.has_value() && same(4 * *hidden);
  }
  if (leaf == "qk_head_dim") {
    const std::optional<uint64_t> plain = number("qk_nope_head_dim"),
                                  rope = number("qk_rope_head_dim");
    return plain.has_value() && rope.has_value() && same(*plain + *rope);
  }
  if (leaf == "rope_local_base_freq") return same(number("rope_theta"));
  if (leaf == "original_max_position_embeddings") return same(number("max_position_embeddings"));
  if (leaf != "head_dim") return false;
  if (same(number("qk_rope_head_dim"))) return true;
  const std::optional<uint64_t> hidden = number("hidden_size"),
                                heads = number("num_attention_heads");
  return hidden.has_value() && heads.value_or(0) > 0 && same(*hidden / *heads);
}

}  // namespace

bool IsIrrelevantKey(std::string_view part) {
  if (part == "_sliding_window_pattern") return false;
  if (part.starts_with('_')) return true;
  // Told with the tokenizers: the output may have those of another model than its config.
  if (Is(part, {"bos_token_id", "eos_token_id", "pad_token_id"})) return true;
  if (Is(part, {"transformers_version",
                "name_or_path",
                "torch_dtype",
                "dtype",
                "params_dtype",
                "architectures",
                "model_type",
                "auto_map",
                "custom_pipelines",
                "tokenizer_class",
                "use_cache",
                "cache_implementation",
                "id2label",
                "label2id",
                "num_labels",
                "problem_type",
                "finetuning_task",
                "task_specific_params",
                "language",
                "is_training",
                "onnx_export",
                "pretraining_tp",
                "ep_size",
                "tp_size",
                "output_attentions",
                "output_hidden_states",
                "output_router_logits",
                "output_scores",
                "output_past",
                "return_dict",
                "return_dict_in_generate",
                "torchscript",
                "use_bfloat16",
                "fp16",
                "bf16",
                "fp32",
                "tf_legacy_loss",
                "prefix",
                "tie_word_embeddings",
                "tie_encoder_decoder",
                "transformers_weights",
                "quantization_config",
                "compression_config",
                "quantization",
                "attn_implementation",
                "attn_impl",
                "num_nextn_predict_layers",
                "seq_aux",
                "apply_spec_augment",
                "residual_in_fp32",
                "rescale_prenorm_residual",
                "problem_types",
                "softmax_in_fp32",
                "attention_softmax_in_fp32",
                "reorder_and_upcast_attn",
                "slow_but_exact",
                "keep_fp32",
                "model_max_length",
                "max_window_size"})) {
    return true;
  }
  // How text is sampled, which generation_config.json says.
  if (Is(part, {"temperature",
                "top_k",
                "top_p",
                "typical_p",
                "do_sample",
                "num_beams",
                "num_beam_groups",
                "max_length",
                "max_new_tokens",
                "min_length",
                "early_stopping",
                "repetition_penalty",
                "length_penalty",
                "diversity_penalty",
                "bad_words_ids",
                "no_repeat_ngram_size",
                "encoder_no_repeat_ngram_size",
                "forced_bos_token_id",
                "forced_eos_token_id",
                "suppress_tokens",
                "begin_suppress_tokens",
                "num_return_sequences",
                "remove_invalid_values",
                "exponential_decay_length_penalty"})) {
    return true;
  }
  if (Begins(part,
             {"unsloth", "initializer_", "init_", "freeze_", "tune_", "unfreeze_", "mask_time_",
              "mask_feature_", "summary_", "tokenizer_", "neftune", "quantization_"})) {
    return true;
  }
  if (part.ends_with("_init") || part.ends_with("_lr")) return true;
  return Holds(part, {"dropout", "pdrop", "drop_path", "drop_rate", "layerdrop", "checkpointing",
                      "vocab", "loss", "jitter", "flash_attn", "flash_attention", "use_fused",
                      "fused_", "initializer_range", "init_std", "learning_rate", "use_liger",
                      "label_smoothing", "initialization"});
}

std::string_view CommonKey(std::string_view leaf) {
  for (const Renamed& renamed : kCommon) {
    if (renamed.from == leaf) return renamed.to;
  }
  return leaf;
}

std::string_view CommonActivation(std::string_view name) {
  if (name == "swish") return "silu";
  if (name == "gelu_python") return "gelu";
  // One formula, in versions that differ in speed.
  if (Is(name, {"gelu_new", "gelu_fast", "gelu_accurate"})) return "gelu_pytorch_tanh";
  return name;
}

bool IsOfLayers(std::string_view leaf) {
  return Holds(leaf, {"layer", "block", "pattern", "idx", "indices", "period", "offset", "interval",
                      "every", "freq", "step", "dense_replace"}) &&
         !Holds(leaf, {"norm", "base_freq"});
}

bool IsDefault(const ConfigValues& values, std::string_view path, std::string_view value) {
  const std::string_view leaf = KeyLeaf(path);
  if (leaf.ends_with("token_id")) return false;
  if (Is(value, {"false", "0", "none", "None", "default"})) return true;
  // The class makes the one of the others.
  if (Is(leaf, {"layer_types", "sliding_window_pattern", "_sliding_window_pattern",
                "max_window_layers", "mlp_layer_types", "no_rope_layers", "no_rope_layer_interval",
                "layer_switch", "full_attention_interval", "moe_layers", "attention_layers"})) {
    return true;
  }
  const bool listed =
      std::any_of(std::begin(kDefaults), std::end(kDefaults),
                  [&](const Default& one) { return one.key == leaf && one.value == value; });
  return listed || IsDerived(values, path, value);
}

std::string_view MeaningOf(std::string_view leaf) {
  if (Holds(leaf, {"rope", "rotary"})) return "positions are encoded in another way";
  if (Holds(leaf, {"max_position"})) return "how long a text the merged model is taken to read";
  if (leaf == "eos_token_id") return "where the merged model stops to generate";
  if (leaf == "bos_token_id") return "what a text begins with";
  if (leaf == "pad_token_id") return "what fills up the shorter texts of a batch";
  if (leaf.ends_with("token_id") || leaf.ends_with("token_index")) {
    return "which token stands for it";
  }
  if (Holds(leaf, {"heads", "head_dim"})) return "the same rows of weights are other heads";
  if (leaf.starts_with("mlp_layer_types")) return "which layers have experts";
  if (Holds(leaf, {"window", "layer_types"})) return "how far back attention looks";
  if (Holds(leaf, {"expert", "topk", "top_k"})) return "which experts of a layer are used, and how";
  return "the same weights compute something else";
}

}  // namespace merganser
