// What a tensor is by the classes of ResMerge's authors (settings of their release, with arXiv
// 2606.02252): by parts of its name alone. Fused experts are this program's extension; the release
// refuses tensors of 3 dimensions.
#ifndef MERGANSER_COMMON_METHODS_RELEASE_ROLES_H_
#define MERGANSER_COMMON_METHODS_RELEASE_ROLES_H_

#include <string_view>

#include "common/methods/tensor_class.h"

namespace merganser {

// By lower-cased name, first match: norm, embedding or head, attention, ffn, other.
TensorFamily ReleaseFamily(std::string_view tensor_name);

SpectralMode ReleaseMode(const TensorSpec& tensor, int rank_topk);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_RELEASE_ROLES_H_
