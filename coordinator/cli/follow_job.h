// A job followed to its end, as the commands do that watch one.
#ifndef MERGANSER_COORDINATOR_CLI_FOLLOW_JOB_H_
#define MERGANSER_COORDINATOR_CLI_FOLLOW_JOB_H_

#include <optional>
#include <string>

#include "coordinator/cli/interrupt.h"
#include "coordinator/service/job.h"

namespace merganser {
class MergeClient;
}  // namespace merganser

namespace merganser::cli {

// Shows on stderr how the job gets on, and returns the job's end as an exit code. An interrupt
// stops following, not the job. `accepted`: what submit was answered.
int Follow(MergeClient& client, const std::string& name, InterruptWatcher& interrupts,
           const std::optional<JobInfo>& accepted = std::nullopt);

// The same for programs: a line of JSON for the job as it is, and one for every change.
int FollowAsJson(MergeClient& client, const std::string& name, InterruptWatcher& interrupts);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_FOLLOW_JOB_H_
