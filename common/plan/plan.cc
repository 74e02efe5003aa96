#include "common/plan/plan.h"

#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/status.h"
#include "common/plan/digest.h"
#include "common/plan/layout.h"

namespace merganser {
namespace {

// True when most of the reference's float elements are 16-bit: then tensors that
// it keeps in F32 (router biases, state-space parameters) are so on purpose.
bool MostlyHalfPrecision(const Alignment& alignment) {
  uint64_t half = 0, other = 0;
  for (const AlignedTensor& tensor : alignment.tensors) {
    if (!IsComputable(tensor.dtype)) continue;
    uint64_t elements = 1;
    for (uint64_t side : tensor.shape) elements *= side;
    (BytesPerElement(tensor.dtype) == 2 ? half : other) += elements;
  }
  return half > other;
}

DType OutputDType(const Recipe& recipe, const AlignedTensor& tensor, bool mostly_half) {
  if (tensor.copied || !recipe.out_dtype.has_value()) return tensor.dtype;
  if (tensor.dtype == DType::kF32 && BytesPerElement(*recipe.out_dtype) == 2 && mostly_half) {
    return tensor.dtype;
  }
  return *recipe.out_dtype;
}

// Copied tensors (integers, bool) are no business of methods.
TensorNeeds CopyNeeds() {
  TensorNeeds needs;
  needs.mode = "copy";
  return needs;
}

// Keeps every later product of sizes far from overflow.
absl::Status CheckSize(const TensorSpec& tensor) {
  std::optional<uint64_t> elements = 1;
  for (const uint64_t side : tensor.shape) {
    if (elements.has_value()) elements = CheckedMul(*elements, side);
  }
  if (elements.has_value() && *elements <= kMaxElements) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tensor ", OneLine(tensor.name),
                                                 ": found more than ", kMaxElements,
                                                 " elements, expected at most as many"));
}

void SetLeaves(PlannedTensor& tensor) {
  tensor.elements = 1;
  for (uint64_t side : tensor.spec.shape) tensor.elements *= side;
  if (tensor.elements == 0) return;
  switch (tensor.needs.split) {
    case Split::kWhole:
      tensor.leaf_elements = tensor.elements;
      break;
    case Split::kMatrices:
      tensor.leaf_elements = tensor.elements / tensor.spec.shape[0];
      break;
    case Split::kElements:
      tensor.leaf_elements = kLeafElements;
      break;
  }
  tensor.leaves = CeilDiv(tensor.elements, tensor.leaf_elements);
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const Recipe& recipe, const ResolvedMethod& resolved,
                              const MergeMethod& method,
                              const std::vector<const Checkpoint*>& models,
                              const Alignment& alignment) {
  Plan plan;
  plan.method = resolved.config;
  plan.recipe_text = recipe.text;
  plan.has_base = !resolved.base.empty();
  plan.warnings = recipe.notes;
  plan.warnings.insert(plan.warnings.end(), resolved.warnings.begin(), resolved.warnings.end());
  plan.warnings.insert(plan.warnings.end(), alignment.warnings.begin(), alignment.warnings.end());
  for (const Checkpoint* model : models) {
    plan.models.push_back({model->uri, model->given, model->shards});
  }

  const bool mostly_half = MostlyHalfPrecision(alignment);
  for (const AlignedTensor& aligned : alignment.tensors) {
    PlannedTensor tensor;
    tensor.spec = {aligned.name, aligned.shape};
    tensor.dtype = OutputDType(recipe, aligned, mostly_half);
    tensor.tied = aligned.tied;
    MERGANSER_RETURN_IF_ERROR(CheckSize(tensor.spec));
    if (aligned.copied) {
      tensor.needs = CopyNeeds();
    } else {
      absl::StatusOr<TensorNeeds> needs = method.Needs(tensor.spec);
      if (!needs.ok())
        return Annotate(needs.status(), absl::StrCat("tensor ", OneLine(aligned.name)));
      tensor.needs = *std::move(needs);
    }
    if (!tensor.needs.note.empty()) {
      plan.warnings.push_back(
          absl::StrCat("tensor ", OneLine(aligned.name), ": ", tensor.needs.note));
    }
    SetLeaves(tensor);
    tensor.has_base_source = plan.has_base && tensor.needs.reads_base;
    for (const TensorSource& source : aligned.sources) {
      if (plan.has_base && source.model == 0 && !tensor.has_base_source) continue;
      const CheckpointTensor& where = models[source.model]->tensors[source.tensor];
      tensor.sources.push_back({source.model, where.shard, where.offset, where.dtype, where.name});
    }
    plan.tensors.push_back(std::move(tensor));
  }
  MERGANSER_RETURN_IF_ERROR(LayOutShards(recipe.max_shard_size, plan));
  MERGANSER_RETURN_IF_ERROR(CutUnits(plan));
  plan.digest = PlanDigest(plan);
  return plan;
}

}  // namespace merganser
