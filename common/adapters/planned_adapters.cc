#include "common/adapters/planned_adapters.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser {

absl::StatusOr<PlannedAdapters> PlannedAdapters::Open(const Plan& plan, const Stores& stores) {
  PlannedAdapters out(plan);
  for (const PlannedModel& model : plan.models) {
    std::vector<Adapter>& adapters = out.adapters_.emplace_back();
    for (const AdapterOrigin& origin : model.adapters) {
      MERGANSER_ASSIGN_OR_RETURN(Adapter adapter, OpenAdapter(origin.uri, origin.given, stores));
      adapters.push_back(std::move(adapter));
    }
  }
  return out;
}

absl::StatusOr<AdapterTensorName> PlannedAdapters::NameAt(uint32_t model, uint32_t shard,
                                                          uint64_t offset) const {
  const uint32_t place = plan_->models[model].shards[shard].place;
  if (place > 0 && place <= adapters_[model].size()) {
    for (const CheckpointTensor& tensor : adapters_[model][place - 1].tensors) {
      if (tensor.offset <= offset && offset < tensor.offset + tensor.size) {
        return NameAdapterTensor(tensor.name);
      }
    }
  }
  return absl::DataLossError(absl::StrCat(
      "model ", Shown(plan_->models[model].given), ": its adapter has no tensor at byte ", offset,
      " any more, expected the file that was planned with: it changed meanwhile; try again"));
}

std::vector<std::string> PlannedAdapters::BaseNames() const {
  std::vector<std::string> names;
  for (const std::vector<Adapter>& of_model : adapters_) {
    for (const Adapter& adapter : of_model) {
      const std::string& name = adapter.config.base_model;
      if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) continue;
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace merganser
