// ResMerge (arXiv 2606.02252): each task vector is split into a leading spectral
// head and a residual; the residuals' consensus on the Frobenius sphere, weighted
// by its reliability, is the backbone, and the heads are added back lightly,
// gated by their agreement.
//
// Everything is a function of two N x N Gram matrices, so no residual, no dense
// head and no full SVD exists: the top-K triplets, one pass for the residuals'
// Gram matrix, one pass for the output.
//
// Which tensors are split, averaged, and counted as attention or feed-forward: tensor_roles.h, or
// as the authors' release has it (release_roles.h).
#ifndef MERGANSER_COMMON_METHODS_RESMERGE_H_
#define MERGANSER_COMMON_METHODS_RESMERGE_H_

#include <memory>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"
#include "common/methods/resmerge_gate.h"
#include "common/methods/tensor_class.h"

namespace merganser {

enum class Roles {
  kStructure,  // tensor_roles.h
  kRelease,    // release_roles.h
};

// For `experts` experts, all of them read in every leaf.
std::unique_ptr<MergeMethod> MakeResMerge(const ResMergeParameters& parameters, int experts,
                                          Scope scope = Scope::kTensor,
                                          Roles roles = Roles::kStructure);

MethodInfo ResMergeMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_RESMERGE_H_
