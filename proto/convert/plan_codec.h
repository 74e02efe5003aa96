// Plan <-> proto. Pure: no I/O.
#ifndef MERGANSER_PROTO_CONVERT_PLAN_CODEC_H_
#define MERGANSER_PROTO_CONVERT_PLAN_CODEC_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"
#include "proto/merganser/v1/plan.pb.h"

namespace merganser {

// Largest serialised JobPlan that a worker takes: a plan has a few hundred bytes
// a tensor and model.
inline constexpr size_t kMaxJobPlanBytes = size_t{1} << 30;

v1::Plan EncodePlan(const Plan& plan);

// kInvalidArgument, naming the place ("plan.units[3].segments[0].tensor: found 9,
// expected less than 2"), where an enum has a value that this program does not know
// and where ValidatePlan finds fault.
absl::StatusOr<Plan> DecodePlan(const v1::Plan& proto);

// What a worker needs of a job.
struct JobPlan {
  std::string job;
  std::string job_uid;
  Plan plan;
  std::string output_uri;
  std::vector<PlannedWrite> writes;  // one a Plan::shards
};

std::string SerializeJobPlan(const JobPlan& job_plan);
// kInvalidArgument as DecodePlan, also for bytes that are no JobPlan, or when
// there is not one write a shard.
absl::StatusOr<JobPlan> ParseJobPlan(std::string_view bytes);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CONVERT_PLAN_CODEC_H_
