// The words for what a tensor is: families, ResMerge's modes, and the groups that gates may span.
// Which tensor is what is told by release_roles.h and tensor_roles.h.
#ifndef MERGANSER_COMMON_METHODS_TENSOR_CLASS_H_
#define MERGANSER_COMMON_METHODS_TENSOR_CLASS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/methods/merge_method.h"

namespace merganser {

// kEmbedding: token and position embeddings, and output heads. kAttention: whatever mixes tokens,
// also linear attention and state-space mixers. kFfn: whatever works on each token alone, also
// routers and experts.
enum class TensorFamily { kNorm, kEmbedding, kAttention, kFfn, kOther };
std::string_view FamilyName(TensorFamily family);

// Whether a spectral method treats the tensor as matrices, and if not, why not.
struct SpectralMode {
  bool spectral = false;
  Split split = Split::kElements;  // kWhole or kMatrices where spectral
  // For tensors that a reader would expect to be spectral ("convolution",
  // "min(m, n) <= rank_topk"); empty otherwise.
  std::string reason;
};

// The mode of a tensor that is neither norm nor embedding, by its shape: one of 2 dimensions is a
// matrix, one of 3 a stack of them if `experts`; where no residual would be left (the smaller side
// is not above `rank_topk`) it is none.
SpectralMode ModeByShape(const TensorSpec& tensor, bool experts, int rank_topk);

// Whose statistics are summed before a gate is derived.
enum class Scope : uint8_t { kTensor, kLayer, kFamily, kModel };

// "tensor", "layer", "family", "model".
std::optional<Scope> ParseScope(std::string_view text);

// The key of the group that the tensor belongs to: for kTensor its name; for
// kLayer the name up to and including its first integer that is a component of its
// own ("visual.blocks.0" is not "model.layers.0"), "none" without one; for kFamily
// the family; for kModel "model".
std::string ScopeGroup(std::string_view tensor_name, TensorFamily family, Scope scope);

// Up to and including the first integer that is a component of its own; empty without one.
std::string_view LayerPrefix(std::string_view tensor_name);

// True for matrices with a vocabulary-sized side (30,000 or more).
bool LooksLikeVocabulary(const TensorSpec& tensor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_TENSOR_CLASS_H_
