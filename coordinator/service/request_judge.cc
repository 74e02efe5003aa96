#include "coordinator/service/request_judge.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/status.h"
#include "common/engine/rounds.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/requests.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

// Planning holds the headers of all models.
constexpr size_t kMostLooks = 4;

}  // namespace

RequestJudge::RequestJudge(JobRunFactory runs, Duration patience)
    : runs_(std::move(runs)), patience_(patience), calls_(kMostLooks) {}

absl::StatusOr<Judgement> RequestJudge::Judge(const JobRequest& request, Duration limit) {
  if (patience_ <= Duration::zero()) return Judgement();
  const auto judgement = std::make_shared<Judgement>();
  const absl::Status status =
      calls_.Run(std::min(patience_, limit), [runs = runs_, request, judgement]() -> absl::Status {
        JobInfo job;
        job.request = request;
        const std::unique_ptr<JobRun> run = runs(job);
        MERGANSER_ASSIGN_OR_RETURN(const Plan* const plan, run->Prepare());
        const TotalWork total = AllRounds(*plan);
        judgement->units = total.units;
        judgement->bytes = total.bytes;
        judgement->warnings = plan->warnings;
        BoundWarnings(kMaxPlanWarnings, judgement->warnings);
        return absl::OkStatus();
      });
  if (status.ok()) return std::move(*judgement);
  if (IsRetryable(status)) {
    Judgement unseen;
    unseen.unseen = OneLine(std::string(status.message()));
    return unseen;
  }
  const bool denied = absl::IsPermissionDenied(status);
  return ReasonedError(denied ? status.code() : absl::StatusCode::kInvalidArgument, "PLAN_REFUSED",
                       std::string(status.message()), RecipeMetadata(status));
}

}  // namespace merganser
