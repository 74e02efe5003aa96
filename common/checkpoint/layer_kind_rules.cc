#include "common/checkpoint/layer_kind_rules.h"

#include <algorithm>
#include <iterator>

namespace merganser {
namespace {

using Form = LayerKinds::Form;
using How = LayerKindRule::How;

constexpr auto kWords = Form::kWords;
constexpr int64_t kNone = LayerKindRule::kNone;
constexpr std::string_view kTypes = "layer_types", kMlp = "mlp_layer_types";
constexpr std::string_view kFull = "full_attention", kSliding = "sliding_attention",
                           kLinear = "linear_attention", kIndexed = "indexed_attention",
                           kDense = "dense", kSparse = "sparse";

// After the configuration classes of transformers 5.24 (__post_init__), the first that fits. A
// class that reads no list has no rule: what it reads is compared as it stands.
constexpr LayerKindRule kRules[] = {
    {"afmoe", kTypes, kWords, How::kEndOf, "global_attn_every_n_layers", 4, kFull, kSliding},
    {"cohere2", kTypes, kWords, How::kEndOf, "sliding_window_pattern", 4, kFull, kSliding},
    {"exaone4 exaone_moe", kTypes, kWords, How::kEndOf, "sliding_window_pattern", 4, kFull,
     kSliding},
    {"gemma3", kTypes, kWords, How::kEndOf, "sliding_window_pattern", 6, kFull, kSliding},
    {"gemma2 vaultgemma gpt_oss", kTypes, kWords, How::kEndOf, "", 2, kFull, kSliding},
    {"gemma3n kolibri1", kTypes, kWords, How::kEndOf, "", 5, kFull, kSliding},
    {"gemma4 gemma4_unified", kTypes, kWords, How::kEndOfOrLast, "", 6, kFull, kSliding},
    {"embedding_gemma2", kTypes, kWords, How::kEndOfOrLast, "sliding_window_pattern", 6, kFull,
     kSliding},
    {"olmo3", kTypes, kWords, How::kEndOf, "", 4, kFull, kSliding},
    {"inkling2 inkling2_loop", kTypes, kWords, How::kEndOf, "", 6, "hybrid", "hybrid_sliding"},
    {"minimax", kTypes, kWords, How::kEndOf, "", 2, kLinear, kFull},
    {"qwen3_next qwen3_5 qwen3_5_moe", kTypes, kWords, How::kEndOf, "full_attention_interval", 4,
     kFull, kLinear},
    {"qwen4_exp", kTypes, kWords, How::kEndOf, "full_attention_interval", 4, kIndexed, kLinear},
    {"bailing_hybrid", kTypes, kWords, How::kEndOf, "layer_group_size", 6, kFull, kLinear},
    {"modernbert modernbert-decoder", kTypes, kWords, How::kStartOf, "global_attn_every_n_layers",
     3, kFull, kSliding},
    {"granite_swa granitemoe_swa cwm", kTypes, kWords, How::kStartOf, "", 4, kFull, kSliding},
    {"qwen2 qwen3 qwen2_vl qwen2_5_vl", kTypes, kWords, How::kNotBelow, "max_window_layers", 28,
     kSliding, kFull},
    {"lfm2", kTypes, kWords, How::kAmong, "full_attn_idxs", kNone, kFull, "conv"},
    {"inkling", kTypes, kWords, How::kAmong, "local_layer_ids", kNone, "hybrid_sliding", "hybrid"},
    {"kimi_linear", kTypes, kWords, How::kAmongFrom1, "linear_attn_config.full_attn_layers", kNone,
     kFull, kLinear},
    {"nemotron_h", "layers_block_type", kWords, How::kLetters, "hybrid_override_pattern", kNone, "",
     ""},
    {"gpt_neo", "attention_layers", kWords, How::kRuns, "attention_types", kNone, "", ""},
    {"llama4 smollm3", "no_rope_layers", Form::kFlags, How::kEndOf, "no_rope_layer_interval", 4,
     "0", "1"},
    {"llama4", "moe_layers", Form::kNumbers, How::kEndOf, "interleave_moe_layer_step", 1, "1", "0"},
    {"deepseek_v4", kMlp, kWords, How::kBelow, "num_hash_layers", kNone, "hash_moe", "moe"},
    {"inkling", kMlp, kWords, How::kBelow, "dense_mlp_idx", 0, kDense, kSparse},
    {"bailing_hybrid", kMlp, kWords, How::kBelow, "first_k_dense_replace", 2, kDense, kSparse},
    {"deepseek_v32 glm_moe_dsa glm5_next beam", kMlp, kWords, How::kBelow, "first_k_dense_replace",
     3, kDense, kSparse},
    {"axk1 axk2 ernie4_5_vl_moe exaone_moe glm4_moe_lite hy_v3 hy_v4 kimi_linear laguna "
     "mistral_large4 unlimited_ocr",
     kMlp, kWords, How::kBelow, "first_k_dense_replace", 1, kDense, kSparse},
    {"*", kMlp, kWords, How::kBelow, "first_k_dense_replace", kNone, kDense, kSparse},
};

// These take a count or a period itself; those of others that a list replaces are in
// ListsInsteadOf.
constexpr std::string_view kReadNumbers[] = {
    "deepseek_v2", "deepseek_v3", "dots1",     "glm4_moe",   "glm4v_moe",  "jamba",
    "mistral4",    "qwen2_moe",   "qwen3_moe", "qwen3_next", "sarvam_mla", "sarvam_moe",
};

}  // namespace

std::span<const LayerKindRule> LayerKindRules() { return kRules; }

bool ReadsLayerNumbers(std::string_view model_type) {
  return std::find(std::begin(kReadNumbers), std::end(kReadNumbers), model_type) !=
         std::end(kReadNumbers);
}

}  // namespace merganser
