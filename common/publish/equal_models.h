// Experts that hold what another model of the merge holds: a training whose save lost what it
// learned, or one model under two names.
#ifndef MERGANSER_COMMON_PUBLISH_EQUAL_MODELS_H_
#define MERGANSER_COMMON_PUBLISH_EQUAL_MODELS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/plan/plan.h"
#include "common/storage/stores.h"

namespace merganser {

// At most so many parts of tensors are looked at, of so many elements each.
inline constexpr uint64_t kMostSamples = 64;
inline constexpr uint64_t kSampleElements = 16'384;

// One warning for the experts that are equal to the base, and one for each set of models that are
// equal to each other, in all that was sampled: of every kind of tensor (names but for their
// numbers) that all models have, the middle of one in the middle, at the beginning and at the end
// of the model. A model that differs is read until it does, which is at the first sample as a rule.
// An expert of another dtype than the base is equal to it where rounding is all that differs.
// Models of one location are not held against each other: naming a model twice is the recipe's
// affair. None for samples of zeros, nor where anything cannot be read: the merge itself says more.
std::vector<std::string> EqualModels(const Plan& plan, const Stores& stores);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_EQUAL_MODELS_H_
