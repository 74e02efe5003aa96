// What workers need of a running job.
#ifndef MERGANSER_COORDINATOR_SERVICE_ACTIVE_PLAN_H_
#define MERGANSER_COORDINATOR_SERVICE_ACTIVE_PLAN_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_run.h"

namespace merganser {

struct ActivePlan {
  const Plan* plan = nullptr;  // valid while `run` is held
  std::shared_ptr<JobRun> run;
  std::string serialized;  // a JobPlan

  // Sets `serialized`, as workers fetch it. kInternal where that is too long for them.
  absl::Status Serialize(const JobInfo& job, std::vector<PlannedWrite> writes);
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_ACTIVE_PLAN_H_
