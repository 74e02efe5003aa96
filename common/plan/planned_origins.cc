#include "common/plan/planned_origins.h"

#include <cstddef>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/plan/origin_bytes.h"
#include "common/plan/validate_origins.h"

namespace merganser {
namespace {

bool IsStored(const CheckpointTensor& tensor) {
  return !tensor.scales.has_value() && !tensor.update.has_value();
}

absl::Status Refuse(const Checkpoint& model, const CheckpointTensor& tensor, const char* why,
                    const char* expected) {
  return absl::UnimplementedError(absl::StrCat(
      "tensor ", Shown(tensor.name), " of ", Shown(model.given), ": found ",
      tensor.update.has_value() ? "an adapter's product" : "values with scales", why, ", expected ",
      expected, ": write that model out in full first, and merge what was written"));
}

// Sums are float32, but of values that have more digits.
DType SumType(const PlannedSource& source) {
  return ReadsValues(source) && source.added_to == DType::kF64 ? DType::kF64 : DType::kF32;
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

}  // namespace

void SetOrigin(const CheckpointTensor& tensor, PlannedSource& planned) {
  planned.scales = tensor.scales;
  planned.coded = tensor.scales.has_value() ? tensor.coded : std::nullopt;
  planned.update = tensor.update;
  if (!planned.update.has_value()) return;
  planned.added_to = planned.dtype;
  planned.dtype = SumType(planned);
}

absl::Status AddOrigin(const std::vector<const Checkpoint*>& models, const TensorSource& source,
                       const PlannedTensor& tensor, PlannedSource& planned) {
  for (const SourceRows& run : source.rows) {
    for (const SourceRows::Origin& origin : run.of) {
      const Checkpoint& model = *models[origin.model];
      if (IsStored(model.tensors[origin.tensor])) continue;
      return Refuse(model, model.tensors[origin.tensor],
                    " of which rows lie elsewhere than in the output",
                    "weights that are stored as they are");
    }
  }
  const CheckpointTensor& where = models[source.model]->tensors[source.tensor];
  if (!source.rows.empty() || IsStored(where)) return absl::OkStatus();
  if (tensor.needs.mode == "copy") {
    return Refuse(*models[source.model], where, " for a tensor that is copied as it is",
                  "one that is merged");
  }
  if (tensor.elements > 0) SetOrigin(where, planned);
  return absl::OkStatus();
}

absl::Status SettleOrigins(const Plan& plan, PlannedTensor& tensor) {
  TakeDeltas(plan, tensor);
  // Before anything counts on it.
  for (size_t s = 0; s < tensor.sources.size(); ++s) {
    const std::optional<OriginFault> fault = FindOriginFault(plan, tensor, s);
    if (!fault.has_value()) continue;
    const PlannedSource& source = tensor.sources[s];
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", Shown(source.tensor), " of ",
                     Shown(plan.models[source.model].given), ", ", fault->field, ": ",
                     fault->problem, "; write that model out in full first, and merge that"));
  }
  return absl::OkStatus();
}

}  // namespace merganser
