// Looks at a request's models before it is accepted.
#ifndef MERGANSER_COORDINATOR_SERVICE_REQUEST_JUDGE_H_
#define MERGANSER_COORDINATOR_SERVICE_REQUEST_JUDGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bounded_calls.h"
#include "common/base/clock.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_run.h"

namespace merganser {

// What a job of the request would be: with all rounds, as JobProgress counts.
struct Judgement {
  uint64_t units = 0;
  uint64_t bytes = 0;
  std::vector<std::string> warnings;  // of the plan
  // Why the models were not seen: then all the others are empty.
  std::string unseen;
};

// Thread-safe.
class RequestJudge {
 public:
  // `patience` is the longest that one look may take; zero: nothing is looked at.
  RequestJudge(JobRunFactory runs, Duration patience);

  // Plans the request, and throws the plan away. What is wrong with it, as
  // kInvalidArgument or kPermissionDenied, PLAN_REFUSED; storage that fails for now, or does not
  // answer in time, is not held against a request. Waits for no longer than `limit`.
  absl::StatusOr<Judgement> Judge(const JobRequest& request, Duration limit);

 private:
  const JobRunFactory runs_;
  const Duration patience_;
  BoundedCalls calls_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_REQUEST_JUDGE_H_
