// What ranks mean for a method that splits task vectors by their spectrum.
#ifndef MERGANSER_COMMON_PLAN_RANK_NOTES_H_
#define MERGANSER_COMMON_PLAN_RANK_NOTES_H_

#include <string>
#include <vector>

#include "common/plan/plan.h"

namespace merganser {

// One a model whose task vectors are products of known rank (known_rank.h), where the method asks
// for them: how many tensors, of which ranks, what comes of the factors and what is left behind the
// heads. Names tensors of no more directions than heads: nothing of these is left for a consensus.
std::vector<std::string> RankNotes(const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_RANK_NOTES_H_
