// SCF-RKL (arXiv 2602.11717): sparse fusion of the coordinates that a reverse KL
// between models, taken as distributions, marks as important.
//
// The paper's abstract fixes: no data; parameters as distributions; importance by
// reverse KL; a quantile threshold; a binary mask; only masked coordinates are
// fused. No code is public. What stands here is this program's reading:
//
//   rows are outputs: along the last dimension (a 1-D tensor is one row), and of matrices that
//   are stored [in, out] the columns (Conv1D, fused experts [experts, in, out]; model_structure.h
//   tells them; `rows: stored` takes all along the last dimension)
//   p = softmax(W0 row),
//   r = softmax(W_i row), d_j = p_j (x_j - log1p(x_j)) with x = (r - p) / p,
//   D = sum_j d_j = KL(p || r): base from expert
//   importance   row: I_j = |delta_j| D      element: I_j = d_j      (as float32)
//   threshold    quantile: the k-th largest importance of the scope,
//                k = max(1, floor(density count))
//                iqr: median + 1.5 (Q3 - Q1) over coordinates with delta_j != 0
//   mask         I_j >= threshold and delta_j != 0
//   combine      max: of the experts that select a coordinate the greatest
//                importance wins, of equal ones the earlier model; one of weight 0
//                does not compete
//                sequential: expert by expert, W0 being the result so far
//   W0 + weight_i delta_i at masked coordinates, elsewhere W0 bit for bit
//
// Thresholds are exact order statistics, found by narrowing histograms.
#ifndef MERGANSER_COMMON_METHODS_SCF_RKL_H_
#define MERGANSER_COMMON_METHODS_SCF_RKL_H_

#include "common/methods/method_info.h"

namespace merganser {

MethodInfo ScfRklMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_SCF_RKL_H_
