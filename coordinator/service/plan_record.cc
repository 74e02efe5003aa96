#include "coordinator/service/plan_record.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/digest.h"
#include "common/base/status.h"

namespace merganser {

PlanRecord RecordOf(const Plan& plan) {
  PlanRecord record{plan.digest, kNumericsVersion, {}};
  for (const PlannedModel& model : plan.models) {
    Digester digest;
    for (const CheckpointShard& shard : model.shards) {
      digest.UpdateField(shard.key);
      digest.UpdateField(absl::StrCat(shard.info.size));
      digest.UpdateField(shard.info.identity);
      digest.UpdateField(shard.header_digest);
    }
    record.inputs.emplace_back(model.uri, digest.Hex());
  }
  return record;
}

absl::Status CheckSamePlan(const PlanRecord& record, const Plan& plan) {
  if (record.digest == plan.digest) return absl::OkStatus();
  const PlanRecord now = RecordOf(plan);
  std::string why = "the planner changed with the program's version";
  if (record.numerics_version != now.numerics_version) {
    why = absl::StrCat("the numerics version is ", now.numerics_version, ", expected ",
                       record.numerics_version, ", under which the job was begun");
  } else if (record.inputs != now.inputs) {
    std::vector<std::string> changed;
    for (size_t i = 0; i < std::max(record.inputs.size(), now.inputs.size()); ++i) {
      if (i >= record.inputs.size() || i >= now.inputs.size() ||
          record.inputs[i] != now.inputs[i]) {
        changed.push_back(
            OneLine(i < now.inputs.size() ? now.inputs[i].first : record.inputs[i].first));
      }
    }
    why = absl::StrCat("these inputs changed: ", absl::StrJoin(changed, ", "));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the job cannot go on after the restart: found plan ", plan.digest, ", expected ",
      record.digest, "; ", why, ". What was done cannot be used; submit it again"));
}

}  // namespace merganser
