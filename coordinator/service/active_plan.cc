#include "coordinator/service/active_plan.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/convert/plan_codec.h"

namespace merganser {

absl::Status ActivePlan::Serialize(const JobInfo& job, std::vector<PlannedWrite> writes) {
  serialized =
      SerializeJobPlan({job.name, job.uid, *plan, job.request.output_uri, std::move(writes)});
  if (serialized.size() > kMaxJobPlanBytes) {
    return absl::InternalError(absl::StrCat("plan: found ", serialized.size(),
                                            " bytes, expected at most ", kMaxJobPlanBytes));
  }
  return absl::OkStatus();
}

}  // namespace merganser
