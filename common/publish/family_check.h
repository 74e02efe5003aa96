// Whether experts are children of their base at all, before hours are spent on them.
#ifndef MERGANSER_COMMON_PUBLISH_FAMILY_CHECK_H_
#define MERGANSER_COMMON_PUBLISH_FAMILY_CHECK_H_

#include <string>
#include <vector>

#include "common/plan/plan.h"
#include "common/storage/stores.h"

namespace merganser {

// Of an expert that was trained from the base, the distance to it is a small part of the base's
// norm: some hundredths after a long training of all weights. Two unrelated models are 1.4 norms
// apart. From here on an expert is said to be of another family.
inline constexpr double kForeignDistance = 0.5;

// One warning for each expert that lies kForeignDistance or more of the base's norm away from it,
// on most of three matrices (of the first, the middle and the last layers), of which 65,536
// elements each are looked at: a few small reads a model. None for plans that do not read a base.
// What cannot be read, or is not finite, is left to the merge itself, which says more.
std::vector<std::string> ForeignExperts(const Plan& plan, const Stores& stores);

// Those, and what EqualModels (equal_models.h) and LowRankExperts (low_rank.h) say: all that a few
// small reads tell of a merge that is about to begin.
std::vector<std::string> LookAtModels(const Plan& plan, const Stores& stores);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_FAMILY_CHECK_H_
