#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"
#include "common/storage/stores.h"
#include "worker/unit_source.h"

namespace merganser {

namespace {

// All but the output.
absl::StatusOr<std::shared_ptr<JobContext>> WithInputs(std::string job, std::string uid, Plan plan,
                                                       std::vector<PlannedWrite> writes,
                                                       const Stores& stores) {
  auto context = std::make_shared<JobContext>();
  context->job = std::move(job);
  context->uid = std::move(uid);
  MERGANSER_ASSIGN_OR_RETURN(context->methods, PlanMethods::Make(plan));
  for (const PlannedModel& model : plan.models) {
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> store, stores.Open(model.uri));
    context->inputs.push_back(std::move(store));
    std::vector<std::shared_ptr<ObjectStore>>& places = context->places.emplace_back();
    for (const std::string& uri : model.places) {
      MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> place, stores.Open(uri));
      places.push_back(std::move(place));
    }
  }
  if (writes.size() != plan.shards.size()) {
    return absl::InternalError(absl::StrCat("job ", context->job, ": ", writes.size(),
                                            " planned writes, expected ", plan.shards.size()));
  }
  context->plan = std::move(plan);
  context->writes = std::move(writes);
  return context;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const JobContext>> MakeJobContext(std::string job, std::string uid,
                                                                 Plan plan,
                                                                 std::string_view output_uri,
                                                                 std::vector<PlannedWrite> writes,
                                                                 const Stores& stores) {
  MERGANSER_ASSIGN_OR_RETURN(
      const std::shared_ptr<JobContext> context,
      WithInputs(std::move(job), std::move(uid), std::move(plan), std::move(writes), stores));
  MERGANSER_ASSIGN_OR_RETURN(context->output, stores.Open(output_uri));
  return context;
}

absl::StatusOr<std::shared_ptr<const JobContext>> MakeJobContext(
    std::string job, std::string uid, Plan plan, std::shared_ptr<ObjectStore> output,
    std::vector<PlannedWrite> writes, const Stores& stores) {
  MERGANSER_ASSIGN_OR_RETURN(
      const std::shared_ptr<JobContext> context,
      WithInputs(std::move(job), std::move(uid), std::move(plan), std::move(writes), stores));
  context->output = std::move(output);
  return context;
}

absl::Status FlushUnits(const JobContext& job, const std::vector<UnitResult>& results) {
  std::set<uint32_t> shards;
  for (const UnitResult& result : results) {
    if (IsLastRound(job.plan, result.round)) shards.insert(job.plan.units[result.unit].shard);
  }
  for (const uint32_t shard : shards) {
    MERGANSER_RETURN_IF_ERROR(job.output->FlushWrite(job.writes[shard]));
  }
  return absl::OkStatus();
}

}  // namespace merganser
