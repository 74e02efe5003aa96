// NuSLERP: spherical interpolation between two models or, where there is a base,
// between their task vectors, with mergekit's parameters and branches.
#ifndef MERGANSER_COMMON_METHODS_NUSLERP_H_
#define MERGANSER_COMMON_METHODS_NUSLERP_H_

#include <memory>
#include <utility>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

// What one vector is. mergekit's `nuslerp_row_wise` names the vectors by what they
// multiply: they run along the first dimension, down the columns.
enum class NuslerpVectors {
  kTensor,          // the whole tensor
  kLastDimension,   // every row
  kFirstDimension,  // every column
};

// At `t` on the way from the first model (0) to the second (1).
std::unique_ptr<MergeMethod> MakeNuslerp(double t, bool has_base, NuslerpVectors vectors);

// The two weights at `t` of vectors with inner products aa, ab, bb.
std::pair<double, double> NuslerpWeights(double t, double aa, double ab, double bb);

MethodInfo NuslerpMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_NUSLERP_H_
