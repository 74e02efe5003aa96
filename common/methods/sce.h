// SCE (arXiv 2408.07990): select the positions at which the task vectors vary most,
// calculate a weight a model from what is left of it, erase minority signs. Parameters
// and defaults are mergekit's.
//
//   var(e) = population variance of d_i(e) over the models
//   kept: the floor(select_topk * |{e: float32(var(e)) != 0}|) positions of largest
//         (float32(var), then least index); all where select_topk is 1
//   q_i = mean of d_i(e)^2 over all positions, divided by the sum over the models
//         (below 1e-6: 1 / N)
//   out = W0 + sum q_i d_i / max(sum q_i, 1e-6) over the models of the majority's sign,
//         which is that of sum d_i
#ifndef MERGANSER_COMMON_METHODS_SCE_H_
#define MERGANSER_COMMON_METHODS_SCE_H_

#include "common/methods/method_info.h"

namespace merganser {

MethodInfo SceMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_SCE_H_
