// A method to copy: every part that a method has, on the smallest idea that needs
// them all. It is compiled and tested, but no recipe can ask for it. README.md
// beside this file tells how to go on.
//
// What stands here in a real method: what it computes, in a formula; its source
// (paper, section); whose settings its defaults are.
#ifndef MERGANSER_COMMON_METHODS_SKELETON_H_
#define MERGANSER_COMMON_METHODS_SKELETON_H_

#include <memory>
#include <vector>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

// W0 + strength * s * m, with the weighted mean m = sum w_i d_i / sum w_i of the
// task vectors and s = (mean of |d_i|) / |m|: the mean, as long as the task vectors
// are. Norms are those of whole tensors; s is 1 where m is zero.
std::unique_ptr<MergeMethod> MakeSkeleton(std::vector<double> weights, double strength);

MethodInfo SkeletonMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_SKELETON_H_
