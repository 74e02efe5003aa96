// The Karcher (Riemannian) mean of the models' directions on the unit sphere,
// scaled by their mean norm (arXiv 2603.04972), with mergekit's parameters.
#ifndef MERGANSER_COMMON_METHODS_KARCHER_H_
#define MERGANSER_COMMON_METHODS_KARCHER_H_

#include <memory>
#include <vector>

#include "common/linalg/gram.h"
#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

struct KarcherMean {
  std::vector<double> coefficients;  // of the models
  int iterations = 0;                // steps taken
  double step = 0;                   // the last step's length, radians; at most tol if converged
};

// A fixed-point iteration whose iterates are combinations of the models, so that
// it runs on their Gram matrix alone. Models whose norm is at most `tol` have no
// direction; if all are such, the result is zero. A model opposite to the iterate
// pulls nowhere. Steps below `tol` end the iteration.
KarcherMean ComputeKarcherMean(const TriangleView& gram, int max_iter, double tol);

std::unique_ptr<MergeMethod> MakeKarcher(size_t models, int max_iter, double tol);

MethodInfo KarcherMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_KARCHER_H_
