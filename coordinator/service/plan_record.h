// Under which plan a job was begun, and whether it is still that one. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_PLAN_RECORD_H_
#define MERGANSER_COORDINATOR_SERVICE_PLAN_RECORD_H_

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "coordinator/service/job_store.h"

namespace merganser {

// What is put on record of `plan`.
PlanRecord RecordOf(const Plan& plan);

// kFailedPrecondition when what is on record was not done under `plan`: says why.
absl::Status CheckSamePlan(const PlanRecord& record, const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_PLAN_RECORD_H_
