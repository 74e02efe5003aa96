// The adapters that a plan's models have, by what their files call things.
#ifndef MERGANSER_COMMON_ADAPTERS_PLANNED_ADAPTERS_H_
#define MERGANSER_COMMON_ADAPTERS_PLANNED_ADAPTERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/adapter.h"
#include "common/checkpoint/adapter_names.h"
#include "common/plan/plan.h"
#include "common/storage/stores.h"

namespace merganser {

class PlannedAdapters {
 public:
  // Reads their headers. `plan` must outlive it; it says which adapters its models have
  // (PlannedModel::adapters). Errors of OpenAdapter.
  static absl::StatusOr<PlannedAdapters> Open(const Plan& plan, const Stores& stores);

  // What is at byte `offset` of shard `shard` of `model`, which an adapter brought. kDataLoss where
  // its file has changed since the plan was made.
  absl::StatusOr<AdapterTensorName> NameAt(uint32_t model, uint32_t shard, uint64_t offset) const;

  // Their base_model_name_or_path, each once, without empty ones.
  std::vector<std::string> BaseNames() const;

 private:
  explicit PlannedAdapters(const Plan& plan) : plan_(&plan) {}

  const Plan* plan_;
  std::vector<std::vector<Adapter>> adapters_;  // of each model, in the order of its places
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_PLANNED_ADAPTERS_H_
