#include "common/methods/model_structure.h"

#include <algorithm>
#include <string>

#include "common/methods/name_parts.h"
#include "common/methods/release_roles.h"
#include "common/methods/tensor_class.h"

namespace merganser {
namespace {

// Kernels of convolutions are shorter than experts' matrices.
constexpr uint64_t kLeastExpertSide = 4;

// Token embeddings and heads, whose longer side is the vocabulary.
bool NamesVocabulary(const TensorSpec& tensor) {
  if (tensor.shape.size() != 2) return false;
  if (ReleaseFamily(tensor.name) == TensorFamily::kEmbedding) return true;
  return TakeApart(tensor.name)
      .last()
      .Is({"embed_in", "embed_out", "shared", "tok_embeddings", "token_embedding", "tokens_embed",
           "word_embedding", "embeddings", "embedding", "emb"});
}

// What is added to the output of the matrix is called so.
std::vector<std::string> BiasNames(std::string_view name) {
  constexpr std::string_view kWeight = ".weight";
  if (name.ends_with(kWeight)) {
    return {std::string(name.substr(0, name.size() - kWeight.size())) + ".bias"};
  }
  return {std::string(name) + "_bias", std::string(name) + ".bias"};
}

}  // namespace

ModelStructure::ModelStructure(std::span<const TensorSpec> tensors,
                               std::span<const uint64_t> vocabularies)
    : vocabularies_(vocabularies.begin(), vocabularies.end()) {
  for (const TensorSpec& tensor : tensors) {
    shapes_.emplace(tensor.name, &tensor.shape);
    const std::string_view layer = LayerPrefix(tensor.name);
    if (layer.empty()) {
      if (NamesVocabulary(tensor)) {
        vocabularies_.insert(std::max(tensor.shape[0], tensor.shape[1]));
      }
    } else if (tensor.shape.size() == 2) {
      matrices_[layer].push_back(&tensor.shape);
    }
  }
  for (const TensorSpec& tensor : tensors) {
    const Layout layout = ClearLayout(tensor);
    if (layout == Layout::kUnknown) continue;
    const auto [it, fresh] = all_transposed_.try_emplace(
        {LayerPrefix(tensor.name), tensor.shape.size()}, layout == Layout::kTransposed);
    if (!fresh) it->second = it->second && layout == Layout::kTransposed;
  }
}

TensorHints ModelStructure::HintsFor(const TensorSpec& tensor) const {
  TensorHints hints;
  hints.vocabulary = IsVocabulary(tensor);
  hints.experts = SideBesideRouter(tensor) > 0;
  if (tensor.shape.size() != 2 && tensor.shape.size() != 3) return hints;
  const Layout layout = ClearLayout(tensor);
  hints.transposed = layout == Layout::kTransposed;
  if (layout == Layout::kUnknown &&
      tensor.shape[tensor.shape.size() - 1] == tensor.shape[tensor.shape.size() - 2]) {
    const auto others = all_transposed_.find({LayerPrefix(tensor.name), tensor.shape.size()});
    hints.transposed = others != all_transposed_.end() && others->second;
  }
  return hints;
}

bool ModelStructure::IsVocabulary(const TensorSpec& tensor) const {
  if (tensor.shape.size() != 2 || !LayerPrefix(tensor.name).empty()) return false;
  return vocabularies_.contains(tensor.shape[0]) != vocabularies_.contains(tensor.shape[1]);
}

uint64_t ModelStructure::SideBesideRouter(const TensorSpec& tensor) const {
  if (tensor.shape.size() != 3) return 0;
  const uint64_t experts = tensor.shape[0], a = tensor.shape[1], b = tensor.shape[2];
  // More experts than the sides of their matrices are the channels of a convolution.
  if (experts < 2 || experts > std::min(a, b) || std::min(a, b) < kLeastExpertSide) return 0;
  const auto layer = matrices_.find(LayerPrefix(tensor.name));
  if (layer == matrices_.end()) return 0;
  for (const Shape* const matrix : layer->second) {
    const uint64_t rows = (*matrix)[0], cols = (*matrix)[1];
    if (rows == experts && (cols == a || cols == b)) return cols;
    if (cols == experts && (rows == a || rows == b)) return rows;
  }
  return 0;
}

ModelStructure::Layout ModelStructure::ClearLayout(const TensorSpec& tensor) const {
  const size_t dims = tensor.shape.size();
  if (dims != 2 && dims != 3) return Layout::kUnknown;
  const uint64_t before = tensor.shape[dims - 2], last = tensor.shape[dims - 1];
  if (before == last) return Layout::kUnknown;
  for (const std::string& name : BiasNames(tensor.name)) {
    const auto found = shapes_.find(name);
    if (found == shapes_.end() || found->second->size() != dims - 1) continue;
    if (dims == 3 && found->second->front() != tensor.shape[0]) continue;
    if (found->second->back() == last) return Layout::kTransposed;
    if (found->second->back() == before) return Layout::kStored;
  }
  const uint64_t hidden = SideBesideRouter(tensor);
  if (hidden == 0) return Layout::kUnknown;
  const NameParts name = TakeApart(tensor.name);
  const NamePart& part = name.last();
  const bool out =
      part.HasWord({"down", "output", "out"}) || part.Is({"w2", "wo", "fc2", "c_proj"});
  const bool in = part.HasWord({"gate", "up", "input"}) ||
                  part.Is({"w1", "w3", "v1", "wi", "wi_0", "wi_1", "fc1", "c_fc"});
  if (out == in) return Layout::kUnknown;
  return (last == hidden) == out ? Layout::kTransposed : Layout::kStored;
}

}  // namespace merganser
