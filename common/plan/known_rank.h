// Task vectors whose rank is known, because adapters bring them as products: what methods that ask
// for it (TensorNeeds::takes_factors) get of them beside their elements.
#ifndef MERGANSER_COMMON_PLAN_KNOWN_RANK_H_
#define MERGANSER_COMMON_PLAN_KNOWN_RANK_H_

#include <cstdint>
#include <optional>

#include "common/plan/plan.h"

namespace merganser {

// Above it a spectrum costs more from its factors than from passes over a matrix of four million
// elements: rotations go with the rank's third power.
inline constexpr uint64_t kMostKnownRank = 256;

// The rank of each matrix of `source`'s task vector, an upper bound from the factors' shapes: 0 of
// one that is zero. nullopt where it is not that of a sum of products: for weights, with
// magnitudes, products that are rounded (LowRankUpdate::rounded_to) or more than kMostKnownRank,
// tensors whose leaves are no matrices of the products, and methods that do not ask.
std::optional<uint64_t> KnownRank(const PlannedTensor& tensor, const PlannedSource& source);

// The same for the plan's remarks, whatever the method asks for and however high the rank is.
std::optional<uint64_t> ProductRank(const PlannedTensor& tensor, const PlannedSource& source);

// What the factors of `leaves` leaves of the tensor take in memory, as float64, and the one problem
// that is solved at a time.
uint64_t FactorBytes(const PlannedTensor& tensor, uint64_t leaves);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_KNOWN_RANK_H_
