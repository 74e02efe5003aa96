#include "common/methods/tensor_class.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

constexpr uint64_t kVocabularySide = 30'000;

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

SpectralMode ModeByShape(const TensorSpec& tensor, bool experts, int rank_topk) {
  SpectralMode mode;
  const size_t dims = tensor.shape.size();
  if (dims <= 1) return mode;
  const bool stack = dims == 3 && experts;
  if (dims != 2 && !stack) {
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
  mode.split = stack ? Split::kMatrices : Split::kWhole;
  return mode;
}

std::optional<Scope> ParseScope(std::string_view text) {
  if (text == "tensor") return Scope::kTensor;
  if (text == "layer") return Scope::kLayer;
  if (text == "family") return Scope::kFamily;
  if (text == "model") return Scope::kModel;
  return std::nullopt;
}

std::string ScopeGroup(std::string_view name, TensorFamily family, Scope scope) {
  switch (scope) {
    case Scope::kTensor:
      return std::string(name);
    case Scope::kFamily:
      return std::string(FamilyName(family));
    case Scope::kModel:
      return "model";
    case Scope::kLayer:
      break;
  }
  const std::string_view layer = LayerPrefix(name);
  return layer.empty() ? "none" : std::string(layer);
}

std::string_view LayerPrefix(std::string_view name) {
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (!part.empty() && std::all_of(part.begin(), part.end(), absl::ascii_isdigit)) {
      return name.substr(0, end);
    }
    begin = end + 1;
  }
  return {};
}

bool LooksLikeVocabulary(const TensorSpec& tensor) {
  return tensor.shape.size() == 2 && std::max(tensor.shape[0], tensor.shape[1]) >= kVocabularySide;
}

}  // namespace merganser
