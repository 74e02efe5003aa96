// Experts whose task vectors resmerge takes for heads altogether: adapters (LoRA) that were merged
// into full weights, of a rank up to rank_topk. Their residuals are nothing but rounding, so the
// method gives back the base; no error, and not what anybody wants.
#ifndef MERGANSER_COMMON_PUBLISH_LOW_RANK_H_
#define MERGANSER_COMMON_PUBLISH_LOW_RANK_H_

#include <string>
#include <vector>

#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "common/storage/stores.h"

namespace merganser {

// A task vector is one of them where its residual has at most this part of its norm: the merge then
// moves by no more than so much of it.
inline constexpr double kLowRankResidual = 0.1;

// Before a merge: at most one warning, that names the experts of which every part that was looked
// at and has changed is of low rank: 65,536 elements, whole rows, of up to 12 matrices, a few small
// reads a model. A part of a matrix has no higher rank than the matrix, so who is not named is none
// of them. None for other methods; what cannot be read is left to the merge, which says more.
std::vector<std::string> LowRankExperts(const Plan& plan, const Stores& stores);

// After it: the plan's warnings, with those of LowRankExperts replaced by what was measured of all
// matrices. Named are experts of whose changed matrices at least half are of low rank.
std::vector<std::string> WarningsOf(const Plan& plan, const std::vector<UnitResult>& results);

// What the model card says of it: the same, without local paths.
std::vector<std::string> CardWarnings(const Plan& plan, const std::vector<UnitResult>& results);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_LOW_RANK_H_
