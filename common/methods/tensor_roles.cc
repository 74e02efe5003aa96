#include "common/methods/tensor_roles.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "common/methods/name_parts.h"
#include "common/methods/release_roles.h"

namespace merganser {
namespace {

// Kernels of convolutions are shorter; where neither name nor router tell of experts, this does.
constexpr uint64_t kLeastExpertSide = 16;

bool IsNorm(const NamePart& part) {
  return part.Contains({"norm"}) || part.text.starts_with("ln_") || part.Contains({"_ln_"}) ||
         part.Is({"ln", "ln1", "ln2", "ln3"}) || part.text.ends_with("_ln");
}

// "norm_attn_norm" is a block that has norms: its matrices are none.
bool IsBlock(const NamePart& part) {
  return part.HasWord({"attn", "attention", "qkv", "mlp", "ffn", "ff", "fc1", "fc2"});
}

bool IsNorm(const TensorSpec& tensor, const NameParts& name) {
  if (tensor.shape.size() < 2) return ReleaseFamily(tensor.name) == TensorFamily::kNorm;
  // A model may be called after its norms (RoBERTa-PreLayerNorm): of a matrix the module counts.
  const auto parts = std::span(name.parts).last(std::min<size_t>(2, name.parts.size()));
  return std::any_of(parts.begin(), parts.end(),
                     [](const NamePart& part) { return IsNorm(part) && !IsBlock(part); });
}

// Absolute or relative positions: one row or column each.
bool IsPositionTable(const NamePart& part) {
  if (part.Is({"wpe"})) return true;
  const bool position = part.HasWord({"pos", "position", "positions", "positional"});
  const bool relative = part.HasWord({"rel", "relative"});
  const bool table = part.HasWord({"embed", "embeds", "embedding", "embeddings", "emb", "embs",
                                   "bias", "table", "encoding", "encodings", "enc"});
  return ((position || relative) && table) || (part.text.starts_with("rel_pos") && relative);
}

bool IsEmbeddingTable(const NamePart& part) {
  if (part.Is({"wte", "wpe", "wse", "shared", "embed_timestep", "embed_char", "embed_speaker",
               "embed_global"})) {
    return true;
  }
  if (part.words.empty()) return false;
  // Those of patches and times are projections, and what comes behind an embedding is a matrix.
  if (part.HasWord({"patch", "patches", "time", "timestep", "timesteps", "proj", "projection",
                    "mapping", "linear", "dense"})) {
    return false;
  }
  const auto is_embedding = [](const std::string& word) {
    return word == "embedding" || word == "embeddings" || word == "embed" || word == "embeds" ||
           word == "emb" || word == "embs";
  };
  const std::string& last = part.words.back();
  if (is_embedding(last)) return true;
  // Learned tokens stand among embeddings: "cls_token", "query_tokens"; not "x_to_token".
  if ((last == "token" || last == "tokens") && !part.HasWord({"to"})) return true;
  // "embed_tokens_per_layer", "input_embeds_layer".
  return part.Is({"embed_in", "embed_out"}) || part.HasWord({"embeds"}) ||
         (is_embedding(part.words.front()) &&
          part.HasWord({"tokens", "token", "positions", "position", "pos", "table", "types", "type",
                        "words", "word", "weights"}));
}

// An output head, by the last part of a name outside of layers.
bool IsHead(const NamePart& part) {
  if (!part.words.empty() && part.words.back() == "head") return true;
  return part.Is({"output", "output_layer", "decoder", "proj_out", "output_projection",
                  "vocab_projector", "vocab_head", "lm_loss", "unembed", "unembedding", "to_logits",
                  "logits", "score", "classifier", "qa_outputs"});
}

bool IsEmbedding(const TensorSpec& tensor, const NameParts& name) {
  if (tensor.hints.vocabulary) return true;
  const NamePart& last = name.last();
  if (IsPositionTable(last) || IsEmbeddingTable(last)) return true;
  if (!name.numbered && (IsHead(last) || LooksLikeVocabulary(tensor))) return true;
  if (name.parts.size() < 2) return false;
  const NamePart& before = name.parts[name.parts.size() - 2];
  // Layers for multi-token prediction have heads of their own.
  if (before.Is({"shared_head"}) && last.Is({"head", "output"})) return true;
  // "embeddings.0", one of several.
  return last.IsNumber() &&
         (before.text.ends_with("embeddings") || before.text.ends_with("embeds"));
}

bool IsStateSpace(const NameParts& name) {
  if (name.last().Is({"a_log", "a_logs", "dt_bias", "log_dt", "log_a_real", "time_decay",
                      "time_first", "time_faaaa"})) {
    return true;
  }
  return name.last().Is({"a", "d", "ds", "a_real", "a_imag"}) &&
         std::any_of(name.parts.begin(), name.parts.end(), [](const NamePart& part) {
           return part.Contains({"mamba"}) || part.HasWord({"mixer", "ssm", "s4", "s6", "attn"});
         });
}

bool IsConvolution(const NameParts& name) {
  return std::any_of(name.parts.begin(), name.parts.end(),
                     [](const NamePart& part) { return part.Contains({"conv"}); });
}

bool SaysExperts(const NameParts& name) {
  return std::any_of(name.parts.begin(), name.parts.end(), [](const NamePart& part) {
    return part.Contains({"expert"}) || part.HasWord({"moe", "moes"});
  });
}

// What the release does not call feed-forward.
bool IsFeedForward(const NameParts& name) {
  const NamePart& last = name.last();
  for (const NamePart& part : name.parts) {
    if (part.Is({"modality_router"})) continue;  // between Gemma 3n's streams: no experts
    if (part.HasWord({"moe", "moes", "router", "routers", "ffw", "ffwd", "ff", "glu"}) ||
        part.Contains({"expert", "densereludense", "densegatedactdense", "feedforward",
                       "dense_h_to_4h", "dense_4h_to_h", "channel_mix"})) {
      return true;
    }
  }
  if (!name.numbered) return false;  // a projector between models is neither
  // A router under a mixer that is one of experts.
  if (last.Is({"gate"}) &&
      std::none_of(name.parts.begin(), name.parts.end(), [](const NamePart& part) {
        return part.Contains({"attn", "attention", "mamba"});
      })) {
    return true;
  }
  for (const NamePart& part : name.parts) {
    if (part.Is({"fc1",      "fc2",    "fc3",          "fc_1",          "fc_2",
                 "fc_in",    "fc_out", "c_fc",         "c_fc_0",        "c_fc_1",
                 "lin1",     "lin2",   "linear1",      "linear2",       "linear_1",
                 "linear_2", "wi",     "wi_0",         "wi_1",          "w1",
                 "w2",       "w3",     "w12",          "w13",           "w_1",
                 "w_2",      "w_3",    "input_linear", "output_linear", "gate_up"})) {
      return true;
    }
    // BERT's layers: "intermediate.dense" and "output.dense".
    const bool half = part.HasWord({"intermediate", "output"});
    if (half && last.text.starts_with("dense")) return true;
  }
  return false;
}

// What the release does not call attention: whatever mixes tokens.
bool IsTokenMixer(const NameParts& name) {
  const NamePart& last = name.last();
  for (const NamePart& part : name.parts) {
    if (part.Contains({"attn", "attention", "mamba", "deltanet", "delta_net", "retention"}) ||
        part.HasWord({"att", "ssm", "mlstm", "slstm", "lstm", "temporal", "lru", "recurrent", "qkv",
                      "qkvz", "wqkv", "mha", "mqa", "gqa", "mla", "kda", "gla", "hyena"})) {
      return true;
    }
    if (!name.numbered) continue;
    if (part.HasWord({"mixer", "mixers"}) ||
        part.Is({"wq", "wk", "wv", "wo", "query", "key", "value", "query_key_value", "w_pack"})) {
      return true;
    }
    // LFM2's gated short convolutions, between two projections.
    if (part.Is({"conv", "short_conv"}) && last.Is({"in_proj", "out_proj"})) return true;
  }
  return false;
}

TensorFamily FamilyOf(const TensorSpec& tensor, const NameParts& name) {
  if (IsNorm(tensor, name)) return TensorFamily::kNorm;
  const TensorFamily release = ReleaseFamily(tensor.name);
  if (release == TensorFamily::kEmbedding || IsEmbedding(tensor, name)) {
    return TensorFamily::kEmbedding;
  }
  if (IsStateSpace(name)) return TensorFamily::kOther;
  if (release == TensorFamily::kAttention || release == TensorFamily::kFfn) return release;
  if (IsFeedForward(name)) return TensorFamily::kFfn;
  if (IsTokenMixer(name)) return TensorFamily::kAttention;
  return tensor.hints.experts ? TensorFamily::kFfn : TensorFamily::kOther;
}

bool IsFused(const TensorSpec& tensor, const NameParts& name, TensorFamily family) {
  if (tensor.shape.size() != 3 || name.bias || IsConvolution(name)) return false;
  if (family != TensorFamily::kFfn && family != TensorFamily::kAttention) return false;
  if (SaysExperts(name) || tensor.hints.experts) return true;
  return family == TensorFamily::kFfn && tensor.shape[1] >= kLeastExpertSide &&
         tensor.shape[2] >= kLeastExpertSide;
}

}  // namespace

TensorFamily RoleFamily(const TensorSpec& tensor) {
  return FamilyOf(tensor, TakeApart(tensor.name));
}

SpectralMode RoleMode(const TensorSpec& tensor, int rank_topk) {
  const NameParts name = TakeApart(tensor.name);
  const TensorFamily family = FamilyOf(tensor, name);
  if (family == TensorFamily::kNorm || family == TensorFamily::kEmbedding || name.bias ||
      IsStateSpace(name)) {
    return {};
  }
  return ModeByShape(tensor, IsFused(tensor, name, family), rank_topk);
}

bool IsFusedExperts(const TensorSpec& tensor) {
  const NameParts name = TakeApart(tensor.name);
  return IsFused(tensor, name, FamilyOf(tensor, name));
}

}  // namespace merganser
