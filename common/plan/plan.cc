#include "common/plan/plan.h"

#include <algorithm>
#include <cstddef>
#include <map>
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
    case Split::kRows: {
      const uint64_t cols = tensor.spec.shape.empty() ? 1 : tensor.spec.shape.back();
      tensor.leaf_elements = std::max<uint64_t>(1, kLeafElements / cols) * cols;
      break;
    }
    case Split::kElements:
      tensor.leaf_elements = kLeafElements;
      break;
  }
  tensor.leaves = CeilDiv(tensor.elements, tensor.leaf_elements);
}

// Puts the tensor into the group that its method names. All of a group are reduced
// by one method.
absl::Status JoinGroup(uint32_t index, std::map<std::string, int32_t>& keys, Plan& plan) {
  PlannedTensor& tensor = plan.tensors[index];
  if (tensor.needs.group.empty() || tensor.needs.rounds == 0 || tensor.leaves == 0) {
    return absl::OkStatus();
  }
  const auto [it, added] =
      keys.try_emplace(tensor.needs.group, static_cast<int32_t>(plan.groups.size()));
  if (added) plan.groups.push_back({tensor.needs.group, {}, 0, false});
  tensor.group = it->second;
  PlannedGroup& group = plan.groups[static_cast<size_t>(it->second)];
  if (!group.tensors.empty()) {
    const PlannedTensor& first = plan.tensors[group.tensors[0]];
    if (first.method != tensor.method || first.needs.rounds != tensor.needs.rounds) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensors ", OneLine(first.spec.name), " and ", OneLine(tensor.spec.name),
          " share one gate (", OneLine(group.key),
          ") and have different parameters; expected gradients and filters only where the scope "
          "is a tensor, or a scope within which they do not change"));
    }
  }
  group.tensors.push_back(index);
  return absl::OkStatus();
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
  std::map<std::string, int32_t> groups;
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
    MERGANSER_RETURN_IF_ERROR(
        JoinGroup(static_cast<uint32_t>(plan.tensors.size() - 1), groups, plan));
  }
  MERGANSER_RETURN_IF_ERROR(LayOutShards(recipe.max_shard_size, plan));
  MERGANSER_RETURN_IF_ERROR(CutUnits(recipe.unit_size, recipe.split_size, plan));
  plan.digest = PlanDigest(plan);
  return plan;
}

}  // namespace merganser
