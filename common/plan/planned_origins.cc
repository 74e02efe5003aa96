#include "common/plan/planned_origins.h"

#include <cstddef>

#include "common/plan/origin_bytes.h"

namespace merganser {
namespace {

// Sums are float32, but of values that have more digits.
DType SumType(const PlannedSource& source) {
  return ReadsValues(source) && source.added_to == DType::kF64 ? DType::kF64 : DType::kF32;
}

}  // namespace

void AddOrigin(const CheckpointTensor& tensor, PlannedSource& source) {
  if (!source.parts.empty()) return;
  source.scales = tensor.scales;
  source.coded = tensor.scales.has_value() ? tensor.coded : std::nullopt;
  source.update = tensor.update;
  if (!source.update.has_value()) return;
  source.added_to = source.dtype;
  source.dtype = SumType(source);
}

void TakeDeltas(const Plan& plan, PlannedTensor& tensor) {
  if (!tensor.needs.takes_deltas || !tensor.has_base_source || tensor.elements == 0) return;
  const PlannedSource& base = tensor.sources[0];
  if (base.update.has_value() || !base.parts.empty()) return;
  for (size_t s = 1; s < tensor.sources.size(); ++s) {
    PlannedSource& source = tensor.sources[s];
    if (plan.models[source.model].places.empty() || !SameValues(plan, base, source)) continue;
    source.delta = true;
    if (!ReadsValues(source)) {
      source.scales.reset();
      source.coded.reset();
    }
    source.dtype = source.update.has_value() ? SumType(source) : DType::kF32;
  }
}

}  // namespace merganser
