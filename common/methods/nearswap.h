// NearSwap (https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001): the
// base moves to the model where they nearly agree; with mergekit's parameters.
#ifndef MERGANSER_COMMON_METHODS_NEARSWAP_H_
#define MERGANSER_COMMON_METHODS_NEARSWAP_H_

#include <memory>

#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"

namespace merganser {

// Element by element, with w = t / max(|W1 - W0|, 1e-6), at most 1:
// w W1 + (1 - w) W0.
std::unique_ptr<MergeMethod> MakeNearswap(double t);

MethodInfo NearswapMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_NEARSWAP_H_
