// A job's plan as it travels.
//
// What is accepted is a plan that MakePlan could have made, and is the same when it has travelled
// once more.
#include <string>

#include "common/plan/pieces.h"
#include "common/plan/validate.h"
#include "proto/convert/plan_codec.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto job = ParseJobPlan(TextOf(data, size));
  if (!job.ok()) {
    RequireRefusal(job.status(), {absl::StatusCode::kInvalidArgument});
    return 0;
  }
  const Plan& plan = job->plan;
  Require(ValidatePlan(plan).ok(), "a plan that is none");
  for (const Unit& unit : plan.units) {
    Require(unit.shard < plan.shards.size() && unit.begin < unit.end &&
                unit.end <= plan.shards[unit.shard].size,
            "a unit out of its shard");
  }
  for (const PlannedTensor& tensor : plan.tensors) {
    for (const PlannedSource& source : tensor.sources) {
      Require(source.model < plan.models.size() &&
                  source.shard < plan.models[source.model].shards.size(),
              "a source out of its model", tensor.spec.name);
      Require(source.offset <= plan.models[source.model].shards[source.shard].info.size,
              "a source out of its file", tensor.spec.name);
    }
  }
  Require(job->writes.size() == plan.shards.size(), "not one write a shard");
  const std::string bytes = SerializeJobPlan(*job);
  const auto again = ParseJobPlan(bytes);
  Require(again.ok(), "it travels once only", again.status().ToString());
  const auto proto = EncodePlan(again->plan);
  Require(proto.ByteSizeLong() == EncodePlan(plan).ByteSizeLong() &&
              again->job_uid == job->job_uid && again->output_uri == job->output_uri,
          "it arrives as another");
  return 0;
}
