// DELLA (arXiv 2406.11617): random elements of every task vector, the more likely the
// larger they are within their row, with or without sign consensus. Parameters and
// defaults are mergekit's, but for `seed` (see dare.h). Ranks are exact in every dtype.
#ifndef MERGANSER_COMMON_METHODS_DELLA_H_
#define MERGANSER_COMMON_METHODS_DELLA_H_

#include "common/methods/method_info.h"

namespace merganser {

MethodInfo DellaMethod();
MethodInfo DellaLinearMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_DELLA_H_
