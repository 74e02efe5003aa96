// Multi-SLERP (Goddard, https://goddard.blog/posts/multislerp-wow-what-a-cool-idea):
// interpolation of any number of models, or of their task vectors where there is a
// base, on the sphere, with mergekit's parameters.
#ifndef MERGANSER_COMMON_METHODS_MULTISLERP_H_
#define MERGANSER_COMMON_METHODS_MULTISLERP_H_

#include <memory>
#include <vector>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

// `weights` as they count, normalized or not. Where the weighted unit vectors
// cancel there is no direction to go, and the weighted sum of the vectors is taken.
std::unique_ptr<MergeMethod> MakeMultislerp(std::vector<double> weights, double eps, bool has_base);

MethodInfo MultislerpMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_MULTISLERP_H_
