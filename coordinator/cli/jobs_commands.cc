// Commands about jobs that are there: list, priority, delete.
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/job_text.h"
#include "coordinator/cli/jobs_flags.h"
#include "coordinator/service/client.h"

namespace merganser::cli {
namespace {

// The largest that a coordinator gives.
constexpr size_t kPage = 1000;

}  // namespace

int RunList(const ListFlags& flags) {
  MergeClient client(flags.coordinator.address, flags.coordinator.security);
  const size_t limit = flags.limit == 0 ? SIZE_MAX : static_cast<size_t>(flags.limit);
  JobQuery query;
  query.filter = ListFilter(flags);
  query.order_by = flags.order_by;
  std::vector<JobInfo> jobs;
  size_t total = 0;
  do {
    query.page_size = static_cast<int>(std::min(kPage, limit - jobs.size()));
    absl::StatusOr<ListedJobs> listed = client.List(query);
    if (!listed.ok()) return Fail(listed.status(), Phase::kPlanning);
    total = listed->total_size;
    if (total == 0 && !listed->jobs.empty() && !(query.filter.empty() && query.order_by.empty())) {
      return Fail(absl::FailedPreconditionError(absl::StrCat(
                      "coordinator ", flags.coordinator.address,
                      ": found one that knows no filters, expected one of this version")),
                  Phase::kPlanning);
    }
    for (JobInfo& job : listed->jobs) jobs.push_back(std::move(job));
    query.page_token = listed->next_page_token;
  } while (!query.page_token.empty() && jobs.size() < limit);
  std::fputs((flags.json ? JobListJson(jobs) : JobTable(jobs, SystemClock().WallNow())).c_str(),
             stdout);
  if (!flags.json && total > jobs.size()) {
    std::fprintf(stderr, "%zu of %zu jobs\n", jobs.size(), total);
  }
  return kDone;
}

int RunSetPriority(const Target& coordinator, const std::string& job, int priority) {
  const absl::StatusOr<JobInfo> changed = MergeClient(coordinator.address, coordinator.security)
                                              .SetPriority(FullJobName(job), priority);
  if (!changed.ok()) return Fail(changed.status(), Phase::kPlanning);
  std::fputs(JobText(*changed).c_str(), stdout);
  return kDone;
}

int RunDelete(const Target& coordinator, const std::vector<std::string>& jobs) {
  MergeClient client(coordinator.address, coordinator.security);
  int code = kDone;
  for (const std::string& job : jobs) {
    const std::string name = FullJobName(job);
    const absl::Status deleted = client.Delete(name);
    if (deleted.ok()) {
      std::printf("deleted %s\n", OneLine(name).c_str());
      continue;
    }
    const int failed = Fail(deleted, Phase::kPlanning);
    if (code == kDone) code = failed;
  }
  return code;
}

}  // namespace merganser::cli
