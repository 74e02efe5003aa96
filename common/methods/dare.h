// DARE (arXiv 2311.03099): random elements of every task vector, scaled up to make up
// for those that were dropped, with or without sign consensus. Parameters and defaults
// are mergekit's, but for `seed`: masks are a function of seed, model, tensor name and
// element (random_mask.h), so the same recipe gives the same model.
#ifndef MERGANSER_COMMON_METHODS_DARE_H_
#define MERGANSER_COMMON_METHODS_DARE_H_

#include "common/methods/method_info.h"

namespace merganser {

MethodInfo DareLinearMethod();
MethodInfo DareTiesMethod();

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_DARE_H_
