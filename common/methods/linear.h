// Weighted sums: `linear` of the models themselves, `task_arithmetic` of their
// task vectors (arXiv 2212.04089), with mergekit's parameters and meaning but
// float64 arithmetic.
#ifndef MERGANSER_COMMON_METHODS_LINEAR_H_
#define MERGANSER_COMMON_METHODS_LINEAR_H_

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

// sum_i weights[i] W_i / divisor.
std::unique_ptr<MergeMethod> MakeLinear(std::vector<double> weights, double divisor);

// W0 + scale * sum_i weights[i] (W_i - W0).
std::unique_ptr<MergeMethod> MakeTaskArithmetic(std::vector<double> weights, double scale);

// What each model is multiplied by, where `config` is of one of these two: its weights (of
// `linear`) or its task vector (of `task_arithmetic`). None of other methods; errors are those of
// MakeMethod.
absl::StatusOr<std::optional<std::vector<double>>> CoefficientsOf(const MethodConfig& config);

MethodInfo LinearMethod();
MethodInfo TaskArithmeticMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_LINEAR_H_
