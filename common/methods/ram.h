// RAM and RAM+ (arXiv 2601.13572): what one RL expert alone changed is kept, what
// several changed is averaged; RAM+ scales up the former. Formulas and defaults are
// mergekit's, RAM+ with one ratio a tensor and expert ("tensor-local").
//
//   C(e) = {i: |d_i(e)| > epsilon}
//   ram:         out = W0 + mean of d_i over C(e)
//   ramplus_tl:  where C(e) = {i}, d_i times 1 + r * clip(shared_i / unique_i, 0, alpha)
//                unique_i: elements that i alone changed; shared_i: that it and others
//                did, both over the whole tensor
#ifndef MERGANSER_COMMON_METHODS_RAM_H_
#define MERGANSER_COMMON_METHODS_RAM_H_

#include "common/methods/method_info.h"

namespace merganser {

MethodInfo RamMethod();
MethodInfo RamPlusTlMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_RAM_H_
