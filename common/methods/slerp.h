// Spherical linear interpolation between base and one model (Shoemake 1985), with
// mergekit's parameters and branches.
#ifndef MERGANSER_COMMON_METHODS_SLERP_H_
#define MERGANSER_COMMON_METHODS_SLERP_H_

#include <memory>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

// At `t` on the way from base (0) to the model (1). Nearly parallel or opposite
// tensors (|cos| > 0.9995) are interpolated on the straight line.
std::unique_ptr<MergeMethod> MakeSlerp(double t);

MethodInfo SlerpMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_SLERP_H_
