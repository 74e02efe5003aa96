#include "common/methods/release_roles.h"

#include <algorithm>
#include <initializer_list>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace merganser {
namespace {

bool ContainsAny(const std::string& text, std::initializer_list<const char*> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const char* part) { return absl::StrContains(text, part); });
}

}  // namespace

TensorFamily ReleaseFamily(std::string_view tensor_name) {
  const std::string name = absl::AsciiStrToLower(std::string(tensor_name));
  if (ContainsAny(name, {"norm", "ln_", "layernorm"})) return TensorFamily::kNorm;
  if (ContainsAny(name, {"embed_tokens", "wte", "lm_head", "word_embeddings"})) {
    return TensorFamily::kEmbedding;
  }
  if (ContainsAny(name,
                  {"self_attn", ".attn.", "attention", "q_proj", "k_proj", "v_proj", "o_proj"})) {
    return TensorFamily::kAttention;
  }
  if (ContainsAny(name, {"mlp", "ffn", "feed_forward", "gate_proj", "up_proj", "down_proj"})) {
    return TensorFamily::kFfn;
  }
  return TensorFamily::kOther;
}

SpectralMode ReleaseMode(const TensorSpec& tensor, int rank_topk) {
  const TensorFamily family = ReleaseFamily(tensor.name);
  if (family == TensorFamily::kNorm || family == TensorFamily::kEmbedding) return {};
  const std::string name = absl::AsciiStrToLower(tensor.name);
  if (absl::EndsWith(name, "bias")) return {};
  return ModeByShape(tensor, absl::StrContains(name, "experts"), rank_topk);
}

}  // namespace merganser
