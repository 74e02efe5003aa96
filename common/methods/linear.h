// Weighted sums: `linear` of the models themselves, `task_arithmetic` of their
// task vectors (arXiv 2212.04089), with mergekit's parameters and meaning but
// float64 arithmetic.
#ifndef MERGANSER_COMMON_METHODS_LINEAR_H_
#define MERGANSER_COMMON_METHODS_LINEAR_H_

#include <memory>
#include <vector>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

// sum_i weights[i] W_i / divisor.
std::unique_ptr<MergeMethod> MakeLinear(std::vector<double> weights, double divisor);

// W0 + scale * sum_i weights[i] (W_i - W0).
std::unique_ptr<MergeMethod> MakeTaskArithmetic(std::vector<double> weights, double scale);

MethodInfo LinearMethod();
MethodInfo TaskArithmeticMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_LINEAR_H_
