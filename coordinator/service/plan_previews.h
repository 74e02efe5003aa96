// Plans that are made to be looked at, and thrown away.
#ifndef MERGANSER_COORDINATOR_SERVICE_PLAN_PREVIEWS_H_
#define MERGANSER_COORDINATOR_SERVICE_PLAN_PREVIEWS_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/bounded_calls.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_run.h"
#include "proto/merganser/v1/merge_service.pb.h"

namespace merganser {

// Thread-safe.
class PlanPreviews {
 public:
  // Planning holds the headers of all models.
  static constexpr size_t kMost = 2;  // at a time; one for an owner
  static constexpr Duration kLimit = std::chrono::seconds(30);

  explicit PlanPreviews(JobRunFactory runs) : runs_(std::move(runs)), calls_(kMost) {}

  // Plans a request that was checked (CheckJobRequest, CheckRequestRoots), for `owner`. The plans
  // made last are kept for a minute, for their other pages. Blocks for kLimit at most, and no
  // longer than until `gone`, which may be empty, says that nobody waits for it: the owner may have
  // another one made then, and what was begun holds its place until it ends. Errors as
  // merge_service.proto has them.
  absl::StatusOr<v1::PlanJobResponse> Plan(const JobRequest& request, const std::string& owner,
                                           int page_size, const std::string& page_token,
                                           const std::function<bool()>& gone = nullptr);

 private:
  struct Made {
    std::string key;  // digest of the request
    MonotonicTime at{};
    std::shared_ptr<JobRun> run;  // holds the plan
    const merganser::Plan* plan = nullptr;
  };
  static constexpr size_t kKept = 2;
  static constexpr Duration kKeptFor = std::chrono::minutes(1);

  absl::StatusOr<Made> Make(const JobRequest& request, const std::string& key,
                            const std::string& owner, const std::function<bool()>& gone);

  const JobRunFactory runs_;
  BoundedCalls calls_;
  Mutex mutex_;
  std::set<std::string> owners_ MERGANSER_GUARDED_BY(mutex_);  // that have one made
  std::deque<Made> made_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_PLAN_PREVIEWS_H_
