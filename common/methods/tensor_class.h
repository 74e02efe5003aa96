// What a tensor is, told by its name and shape alone: ResMerge's modes and the
// families and groups that gates may span (arXiv 2606.02252, settings of the
// authors' release; fused experts are this program's extension).
#ifndef MERGANSER_COMMON_METHODS_TENSOR_CLASS_H_
#define MERGANSER_COMMON_METHODS_TENSOR_CLASS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/methods/merge_method.h"

namespace merganser {

enum class TensorFamily { kNorm, kEmbedding, kAttention, kFfn, kOther };
std::string_view FamilyName(TensorFamily family);

// By lower-cased name, first match: norm, embedding or head, attention, ffn, other.
TensorFamily ClassifyFamily(std::string_view tensor_name);

// Whether a spectral method treats the tensor as matrices, and if not, why not.
struct SpectralMode {
  bool spectral = false;
  Split split = Split::kElements;  // kWhole or kMatrices where spectral
  // For tensors that a reader would expect to be spectral ("convolution",
  // "min(m, n) <= rank_topk"); empty otherwise.
  std::string reason;
};
SpectralMode ClassifySpectral(const TensorSpec& tensor, int rank_topk);

// Whose statistics are summed before a gate is derived.
enum class Scope : uint8_t { kTensor, kLayer, kFamily, kModel };

// "tensor", "layer", "family", "model".
std::optional<Scope> ParseScope(std::string_view text);

// The key of the group that the tensor belongs to: for kTensor its name; for
// kLayer the name up to and including its first integer that is a component of its
// own ("visual.blocks.0" is not "model.layers.0"), "none" without one; for kFamily
// the family; for kModel "model".
std::string ScopeGroup(std::string_view tensor_name, Scope scope);

// True for matrices of no known family with a vocabulary-sized side: an
// embedding or output head under a name that the classification does not know.
bool LooksLikeVocabulary(const TensorSpec& tensor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_TENSOR_CLASS_H_
