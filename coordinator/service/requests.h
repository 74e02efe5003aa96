// What of a request can be judged before anything is looked up. Pure but for
// Stores::TraitsOf, which touches no storage. Errors carry the reasons that
// merge_service.proto lists.
#ifndef MERGANSER_COORDINATOR_SERVICE_REQUESTS_H_
#define MERGANSER_COORDINATOR_SERVICE_REQUESTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/service/auth/roles.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_store.h"

namespace merganser {

inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;

// Recipe grammar and size, its method and parameters, an absolute output that this build
// can open and that other processes see, absolute directories, a printable display name, labels,
// and request id, within the limits that merge_service.proto tells.
absl::Status CheckJobRequest(const JobRequest& request, const std::string& request_id);

absl::Status CheckPriority(int32_t priority);

// What an error of a request's recipe names: the field, and line and key where they are known.
std::map<std::string, std::string> RecipeMetadata(const absl::Status& wrong);

// [a-z][a-z0-9_-]{0,62}
bool IsLabelKey(std::string_view text);

// The uid in "jobs/{uid}".
absl::StatusOr<std::string> ParseJobName(const std::string& name);
std::string JobName(const std::string& uid);

// 0 is the default, more than the maximum is the maximum.
absl::StatusOr<int> CoercePageSize(int page_size);

// kPermissionDenied (NOT_OWNER) unless the job is the caller's own, or he is an admin. What
// has no owner on record is nobody's own.
absl::Status CheckOwner(const JobInfo& job, const Caller& caller);

// Why a request id makes no job: it made the job `uid` of another request, or of another
// owner (not `own`), or one that is no longer on record.
absl::Status RequestReused(const std::string& request_id, const std::string& uid, bool own);
absl::Status RequestSpent(const SpentRequest& spent);

absl::Status JobNotFound(const std::string& name);

// kUnavailable, because the store failed with `status`: nothing was changed, as far as is known,
// and the client may repeat it.
absl::Status NotRecorded(const absl::Status& status);

// kUnavailable: what is told, and what jobs are interrupted with, while the coordinator
// stops.
absl::Status CoordinatorStopping();
bool IsCoordinatorStopping(const absl::Status& status);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_REQUESTS_H_
