#include "common/methods/tensor_class.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

constexpr uint64_t kVocabularySide = 30'000;

std::string Lower(std::string_view name) {
  std::string lower(name);
  absl::AsciiStrToLower(&lower);
  return lower;
}

bool ContainsAny(const std::string& text, std::initializer_list<const char*> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const char* part) { return absl::StrContains(text, part); });
}

}  // namespace

std::string_view FamilyName(TensorFamily family) {
  switch (family) {
    case TensorFamily::kNorm:
      return "norm";
    case TensorFamily::kEmbedding:
      return "embedding";
    case TensorFamily::kAttention:
      return "attention";
    case TensorFamily::kFfn:
      return "ffn";
    case TensorFamily::kOther:
      return "other";
  }
  return "other";
}

TensorFamily ClassifyFamily(std::string_view tensor_name) {
  const std::string name = Lower(tensor_name);
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

SpectralMode ClassifySpectral(const TensorSpec& tensor, int rank_topk) {
  SpectralMode mode;
  const TensorFamily family = ClassifyFamily(tensor.name);
  if (family == TensorFamily::kNorm || family == TensorFamily::kEmbedding) return mode;
  const std::string name = Lower(tensor.name);
  const size_t dims = tensor.shape.size();
  if (dims <= 1 || absl::EndsWith(name, "bias")) return mode;
  const bool experts = dims == 3 && absl::StrContains(name, "experts");
  if (dims != 2 && !experts) {
    mode.reason = absl::StrCat(dims, "-D tensor that is no fused experts");
    return mode;
  }
  const uint64_t smaller = std::min(tensor.shape[dims - 2], tensor.shape[dims - 1]);
  if (smaller <= static_cast<uint64_t>(rank_topk)) {
    mode.reason =
        absl::StrCat("its smaller side, ", smaller, ", is not above rank_topk ", rank_topk);
    return mode;
  }
  mode.spectral = true;
  mode.split = experts ? Split::kMatrices : Split::kWhole;
  return mode;
}

std::optional<Scope> ParseScope(std::string_view text) {
  if (text == "tensor") return Scope::kTensor;
  if (text == "layer") return Scope::kLayer;
  if (text == "family") return Scope::kFamily;
  if (text == "model") return Scope::kModel;
  return std::nullopt;
}

std::string ScopeGroup(std::string_view name, Scope scope) {
  switch (scope) {
    case Scope::kTensor:
      return std::string(name);
    case Scope::kFamily:
      return std::string(FamilyName(ClassifyFamily(name)));
    case Scope::kModel:
      return "model";
    case Scope::kLayer:
      break;
  }
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (!part.empty() && std::all_of(part.begin(), part.end(), absl::ascii_isdigit)) {
      return std::string(name.substr(0, end));
    }
    begin = end + 1;
  }
  return "none";
}

bool LooksLikeVocabulary(const TensorSpec& tensor) {
  return ClassifyFamily(tensor.name) == TensorFamily::kOther && tensor.shape.size() == 2 &&
         std::max(tensor.shape[0], tensor.shape[1]) >= kVocabularySide;
}

}  // namespace merganser
