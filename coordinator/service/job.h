// A merge job as users see it. Plain data: the coordinator keeps it, the client
// receives it.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "coordinator/activity/diagnosis.h"
#include "coordinator/activity/throughput.h"

namespace merganser {

enum class JobState : uint8_t {
  kQueued,
  kPlanning,
  kRunning,
  kPublishing,
  kSucceeded,
  kFailed,
  kCancelled,
};

inline constexpr size_t kJobStates = static_cast<size_t>(JobState::kCancelled) + 1;

// "QUEUED", ...
std::string_view JobStateName(JobState state);
// Succeeded, failed or cancelled: nothing about the job changes any more.
bool IsTerminal(JobState state);

struct JobProgress {
  uint64_t units_total = 0;
  uint64_t units_done = 0;
  uint64_t bytes_total = 0;
  uint64_t bytes_done = 0;
  uint64_t units_leased = 0;
  uint32_t workers = 0;
  uint64_t retries = 0;
  std::string detail;
  // Of units that are done, and an estimate of those in flight.
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;

  bool operator==(const JobProgress&) const = default;
};

// What a user asks for.
struct JobRequest {
  std::string recipe;       // YAML
  std::string source_name;  // the recipe's file, for messages
  // Absolute, at least one; relative models are looked for in each, in order.
  std::vector<std::string> directories;
  std::string output_uri;  // absolute
  bool overwrite = false;
  // Jobs of a higher one are taken from the queue, and served with workers, first. It may be
  // changed until the job ends.
  int32_t priority = 0;
  // What people call it; empty: the recipe's file name stands for it (ShownName).
  std::string display_name = {};
  std::map<std::string, std::string> labels = {};

  bool operator==(const JobRequest&) const = default;
};

// Something that happened to a job, for people.
struct JobEvent {
  WallTime time;
  std::string text;  // one line

  bool operator==(const JobEvent&) const = default;
};

// How fast a job goes, over the last minute (coordinator/activity).
struct JobPace {
  Rates rates;
  std::optional<Duration> time_left;
  Diagnosis diagnosis;

  bool operator==(const JobPace&) const = default;
};

struct JobInfo {
  std::string name;  // "jobs/{uid}"
  std::string uid;
  std::string owner;   // who submitted it; empty for jobs from before there were owners
  JobRequest request;  // `recipe` is empty in lists and while watching
  // What the recipe asks for: its method, and its models as it names them, base first.
  std::string method;
  std::vector<std::string> models;
  JobState state = JobState::kQueued;
  bool cancelling = false;
  // Of a failed job; its message is one line.
  absl::Status error;
  std::string error_reason;  // "REQUEST_WRONG", "RUN_FAILED" or "RETRY_MAY_HELP"
  JobProgress progress;
  std::optional<JobPace> pace;  // while it runs
  std::optional<WallTime> created;
  std::optional<WallTime> started;
  std::optional<WallTime> finished;
  std::string report_summary;
  std::string verdict;  // the first sentence of `merganser report`; on success
  std::vector<std::string> warnings;
  // Oldest first, and not all of a long history; only of one job that was asked for.
  std::vector<JobEvent> events;

  bool operator==(const JobInfo&) const = default;
};

// A page of a list, as ListJobsRequest has it.
struct JobQuery {
  int page_size = 0;
  std::string page_token = {};
  std::string filter = {};
  std::string order_by = {};
};

// What a list calls the job: its display name, or else the file name of its recipe.
std::string_view ShownName(const JobRequest& request);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_H_
