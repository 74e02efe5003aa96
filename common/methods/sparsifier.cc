#include "common/methods/sparsifier.h"

#include <algorithm>

namespace merganser {

absl::StatusOr<Stats> Sparsifier::Analyze(const Leaf&, std::span<const double>, Executor&) const {
  return absl::InternalError("a sparsifier without rounds has nothing to analyze");
}

absl::StatusOr<Sparsifier::State> Sparsifier::Reduce(std::span<const double>, const GroupStats&,
                                                     ReportFields&) const {
  return absl::InternalError("a sparsifier without rounds has nothing to reduce");
}

uint64_t ElementsOf(const TensorSpec& tensor) {
  uint64_t elements = 1;
  for (const uint64_t side : tensor.shape) elements *= side;
  return elements;
}

uint64_t LargestLeaf(const TensorSpec& tensor, Split split) {
  const uint64_t elements = ElementsOf(tensor);
  if (split == Split::kElements) return std::min(elements, kLeafElements);
  if (split != Split::kRows) return elements;
  const uint64_t cols = tensor.shape.empty() ? 1 : tensor.shape.back();
  return std::min(elements, std::max(kLeafElements, cols));
}

}  // namespace merganser
