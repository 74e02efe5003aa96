// Arcee Fusion: of one model's changes only the salient ones are taken over, with
// mergekit's importance and threshold, the latter exact.
#ifndef MERGANSER_COMMON_METHODS_ARCEE_FUSION_H_
#define MERGANSER_COMMON_METHODS_ARCEE_FUSION_H_

#include <cstdint>
#include <memory>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"
#include "common/tensor/view.h"

namespace merganser {

// An element's importance is |W1 - W0| times the divergence of its row, rounded to
// float32. The threshold of a tensor is median + 1.5 (Q3 - Q1), each quantile the
// importance at floor(q (n - 1)) of the n in ascending order. Elements at or above
// it are W1's, the rest W0's.
//
// Rows are those that are stored, as in mergekit; `by_output` takes the columns of matrices that
// are stored [in, out] (model_structure.h).
std::unique_ptr<MergeMethod> MakeArceeFusion(bool by_output = false);

// KL(p || q) of p = softmax(row of the model) + 1e-8 and q = softmax(row of the
// base) + 1e-8, over elements [begin, begin + cols): sum p log(p/q) - p + q, which
// is the same, as both add up to the same, and cancels nowhere. At least 0, and 0
// for equal rows. `buffer` holds RowDivergenceBuffer(cols) doubles.
double RowDivergence(const TensorView& base, const TensorView& model, uint64_t begin, uint64_t cols,
                     double* buffer);
uint64_t RowDivergenceBuffer(uint64_t cols);

MethodInfo ArceeFusionMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_ARCEE_FUSION_H_
