// What a tensor is, whatever its architecture calls it: from the parts of its name, its shape, and
// what the model's other tensors tell of it (model_structure.h).
//
// Of Llama-, Qwen- and Gemma-like language models the classes are those of ResMerge's authors
// (release_roles.h). Elsewhere theirs go by names that those models have: of others embeddings,
// position tables and parameters of state spaces would be split as matrices, and attention and
// feed-forward not be known.
#ifndef MERGANSER_COMMON_METHODS_TENSOR_ROLES_H_
#define MERGANSER_COMMON_METHODS_TENSOR_ROLES_H_

#include "common/methods/tensor_class.h"

namespace merganser {

TensorFamily RoleFamily(const TensorSpec& tensor);

SpectralMode RoleMode(const TensorSpec& tensor, int rank_topk);

// A stack of matrices [experts, m, n], under any name.
bool IsFusedExperts(const TensorSpec& tensor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_TENSOR_ROLES_H_
