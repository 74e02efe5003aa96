// In this order: what the file has; which tensors of the base that is; tensors that are brought
// whole; products of low rank, module by module; what was expected; what is told.
#include "common/checkpoint/adapted_model.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/adapter_application.h"
#include "common/checkpoint/adapter_base.h"
#include "common/checkpoint/adapter_expected.h"
#include "common/checkpoint/adapter_factors.h"
#include "common/checkpoint/adapter_hints.h"
#include "common/checkpoint/adapter_parameters.h"
#include "common/checkpoint/refusals.h"

namespace merganser {
namespace {

void AddPlace(AdapterApplication& to) {
  to.model.places.push_back({to.adapter.uri, to.adapter.given, to.adapter.store});
  to.shard = static_cast<uint32_t>(to.model.shards.size());
  CheckpointShard& shard = to.model.shards.emplace_back(to.adapter.shard);
  shard.place = static_cast<uint32_t>(to.model.places.size());
}

void FindTargets(AdapterApplication& to) {
  struct Member {
    const AdapterModule* module = nullptr;
    const CheckpointTensor* whole = nullptr;
  };
  std::vector<std::string> names;
  std::vector<Member> of;
  for (const AdapterModule& module : to.contents.modules) {
    const std::vector<std::string> parameters = ParametersOf(to.adapter.config, module.name);
    for (const std::string& parameter : parameters) {
      names.push_back(absl::StrCat(module.name, ".", parameter));
      of.push_back({});
    }
    names.push_back(absl::StrCat(module.name, ".weight"));
    of.push_back({&module, nullptr});
  }
  for (const WholeTensor& whole : to.contents.whole) {
    names.push_back(whole.name);
    of.push_back({nullptr, whole.tensor});
  }
  to.targets.emplace(to.base, names, [&](size_t i, const CheckpointTensor& tensor) {
    const auto& [module, whole] = of[i];
    if (whole != nullptr) return tensor.shape == whole->shape;
    return module == nullptr ||
           LayoutsThatFit(tensor.shape, module->a->shape, module->b->shape, module->embedding)
               .first.has_value();
  });
}

void Tell(const ExpectedModules& expected, AdapterApplication& to) {
  to.origin.expected = expected.count;
  to.model.notes.push_back(
      absl::StrCat(to.Name(), " on ", Quoted(to.base.given), ": ", DescribeAdapter(to.origin)));
  if (!expected.missing.empty()) {
    to.model.warnings.push_back(absl::StrCat(
        to.Name(), ": found nothing of ", expected.missing.size(),
        " modules that adapter_config.json chooses and the base has, ", FirstFew(expected.missing),
        ": they stay as they are in the base; was the adapter saved "
        "whole?"));
  }
  if (!expected.only_experts.empty()) {
    to.model.warnings.push_back(absl::StrCat(
        to.Name(), ": adapter_config.json chooses ", FirstFew(expected.only_experts),
        ", which the base has within experts alone, and the file has nothing of them: they stay as "
        "they are, as in PEFT where it packs experts"));
  }
  if (!to.adapter.config.base_model.empty() &&
      NamesAnotherBase(to.adapter.config.base_model, to.base.uri, to.base.given)) {
    to.model.warnings.push_back(absl::StrCat(
        to.Name(), ": was trained on ", Quoted(to.adapter.config.base_model),
        " as its base_model_name_or_path says, and is put on ", Quoted(to.base.given),
        ": all its tensors fit, and what it learned may not; see whether the two are one model"));
  }
  to.model.adapters.push_back(std::move(to.origin));
}

absl::Status Apply(AdapterApplication& to) {
  MERGANSER_ASSIGN_OR_RETURN(to.contents, ContentsOf(to.adapter));
  AddPlace(to);
  FindTargets(to);
  if (!to.targets->ambiguity().empty()) {
    to.faults.Add(
        absl::StrCat("its names fit two parts of the base alike: ", to.targets->ambiguity(),
                     "; expected one; give the adapter the names that the base has"));
    return to.faults.ToStatus();
  }
  TakeWholeTensors(to);
  AddDeltas(to);
  const ExpectedModules expected =
      CompareExpected(to.base, to.adapter, to.contents, *to.targets, to.faults);
  MERGANSER_RETURN_IF_ERROR(to.faults.ToStatus());
  Tell(expected, to);
  return absl::OkStatus();
}

}  // namespace

void AdapterApplication::NoTensor(const CheckpointTensor& stored, std::string_view name) {
  faults.Add(absl::StrCat("tensor ", Quoted(stored.name), " matches no tensor of the base ",
                          Quoted(base.given), " (looked for ", Quoted(name), ")",
                          WhyNoTensor(base, name)));
}

absl::StatusOr<Checkpoint> AdaptedModel(const Checkpoint& base,
                                        const std::vector<Adapter>& adapters,
                                        std::string_view given) {
  Checkpoint model = base;
  model.given = std::string(given);
  TensorNames whole;
  for (const Adapter& adapter : adapters) {
    AdapterApplication application(base, adapter, whole, model);
    MERGANSER_RETURN_IF_ERROR(Apply(application));
    for (CheckpointTensor& tensor : model.tensors) {
      if (tensor.update.has_value()) tensor.update->rounded_to = adapter.rounded_to;
    }
  }
  return model;
}

}  // namespace merganser
