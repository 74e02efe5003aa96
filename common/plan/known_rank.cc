#include "common/plan/known_rank.h"

#include <algorithm>

#include "common/linalg/low_rank_triplets.h"
#include "common/plan/origin_bytes.h"

namespace merganser {
namespace {

// Whether each leaf of the tensor is one matrix of the update.
bool LeavesAreMatrices(const PlannedTensor& tensor, const LowRankUpdate& update) {
  const Shape& shape = tensor.spec.shape;
  const Split split = tensor.needs.split;
  if (shape.size() < 2 || (split != Split::kWhole && split != Split::kMatrices)) return false;
  const Matrices matrices = MatricesOf(tensor, update);
  return matrices.count == tensor.leaves && matrices.rows == shape[shape.size() - 2] &&
         matrices.cols == shape.back();
}

}  // namespace

std::optional<uint64_t> ProductRank(const PlannedTensor& tensor, const PlannedSource& source) {
  if (!source.delta || ReadsValues(source) || tensor.leaves == 0) return std::nullopt;
  if (!source.update.has_value()) return 0;
  if (source.update->rounded_to.has_value() || !LeavesAreMatrices(tensor, *source.update)) {
    return std::nullopt;
  }
  uint64_t rank = 0;
  for (const LowRankTerm& term : source.update->terms) rank += term.rank;
  return rank;
}

std::optional<uint64_t> KnownRank(const PlannedTensor& tensor, const PlannedSource& source) {
  if (!tensor.needs.takes_factors) return std::nullopt;
  const std::optional<uint64_t> rank = ProductRank(tensor, source);
  return rank.value_or(kMostKnownRank) > kMostKnownRank ? std::nullopt : rank;
}

uint64_t FactorBytes(const PlannedTensor& tensor, uint64_t leaves) {
  const Shape& shape = tensor.spec.shape;
  uint64_t held = 0, most = 0;
  for (const PlannedSource& source : tensor.sources) {
    const uint64_t rank = KnownRank(tensor, source).value_or(0);
    if (rank == 0) continue;
    const uint64_t height = shape[shape.size() - 2], width = shape.back();
    held += leaves * (rank * (height + width + 1) * sizeof(double) + sizeof(FactoredDelta));
    most = std::max(most, LowRankTopKBytes(height, width, rank));
  }
  return held + most;
}

}  // namespace merganser
