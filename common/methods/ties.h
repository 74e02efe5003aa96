// TIES (arXiv 2306.01708): the largest elements of every task vector, by sign
// consensus. Parameters and defaults are mergekit's.
#ifndef MERGANSER_COMMON_METHODS_TIES_H_
#define MERGANSER_COMMON_METHODS_TIES_H_

#include "common/methods/method_info.h"

namespace merganser {

MethodInfo TiesMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_TIES_H_
