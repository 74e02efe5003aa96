#include "coordinator/cli/follow_job.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/duration_text.h"
#include "common/base/mutex.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/job_text.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/progress.h"
#include "coordinator/service/client.h"

namespace merganser::cli {
namespace {

// How long a watched coordinator may be away: time to start it anew on another machine.
constexpr std::chrono::minutes kWatchPatience(15);

// The job's own end as the command's: what failed, and whether a retry helps.
int JobExitCode(const JobInfo& job) {
  switch (job.state) {
    case JobState::kSucceeded:
      return kDone;
    case JobState::kCancelled:
      PrintError(absl::CancelledError(absl::StrCat(job.name, " was cancelled")));
      return kFailed;
    case JobState::kFailed:
      PrintError(Annotate(job.error, job.name));
      if (job.error_reason == "REQUEST_WRONG") return kWrongRequest;
      return job.error_reason == "RETRY_MAY_HELP" ? kRetryable : kFailed;
    default:
      return kFailed;
  }
}

ProgressSample SampleOf(const JobInfo& job) {
  const JobProgress& progress = job.progress;
  ProgressSample sample;
  sample.phase = absl::AsciiStrToLower(std::string(JobStateName(job.state)));
  if (job.cancelling) sample.phase = "cancelling";
  sample.moves = job.state == JobState::kRunning;
  sample.bytes_done = progress.bytes_done;
  sample.bytes_total = progress.bytes_total;
  sample.units_done = progress.units_done;
  sample.units_total = progress.units_total;
  sample.workers = progress.workers;
  if (job.pace.has_value()) {
    ProgressSample::Pace pace;
    pace.read = job.pace->rates.read;
    pace.written = job.pace->rates.written;
    if (job.pace->time_left.has_value()) {
      pace.seconds_left = std::chrono::duration<double>(*job.pace->time_left).count();
    }
    pace.diagnosis = job.pace->diagnosis.text;
    sample.pace = std::move(pace);
  }
  // Of a job that gets on, which round it is in.
  if (sample.moves && progress.detail.starts_with("round ")) {
    sample.phase = progress.detail;
  } else {
    sample.waits = progress.detail;
  }
  return sample;
}

// Of a job that succeeded, to be pasted where others read it.
std::string EndText(const JobInfo& job) {
  std::string text = ShownLines(job.report_summary);
  if (job.state != JobState::kSucceeded) return text;
  absl::StrAppend(&text, "merged into ", OneLine(job.request.output_uri));
  if (job.started.has_value() && job.finished.has_value()) {
    absl::StrAppend(
        &text, " in ",
        DurationText(std::chrono::duration<double>(*job.finished - *job.started).count()));
  }
  return text + "\n";
}

}  // namespace

int Follow(MergeClient& client, const std::string& name, InterruptWatcher& interrupts,
           const std::optional<JobInfo>& accepted) {
  std::atomic<bool> interrupted = false;
  const HandlerScope handlers(interrupts);
  interrupts.SetHandler([&interrupted] { interrupted = true; });
  Mutex mutex;
  ProgressSample sample;
  sample.phase = "connecting";
  sample.moves = false;
  absl::StatusOr<JobInfo> last = JobInfo();
  {
    ProgressPrinter printer(
        [&] {
          MutexLock lock(mutex);
          return sample;
        },
        PhaseLines::kAll);
    WatchPatience patience;
    patience.limit = kWatchPatience;
    patience.notice = [](const std::string& line) { Log(LogLevel::kInfo, line); };
    const auto show = [&](const JobInfo& job) {
      ProgressSample next = SampleOf(job);
      MutexLock lock(mutex);
      sample = std::move(next);
      return !interrupted;
    };
    last = client.Watch(name, show, patience, accepted);
  }
  interrupts.ClearHandler();
  if (!last.ok()) {
    if (!accepted.has_value() || !IsRetryable(last.status())) {
      return Fail(last.status(), Phase::kRunning);
    }
    // Whoever would submit again would have a second job write to the output of the first.
    PrintError(Annotate(last.status(), absl::StrCat(name,
                                                    " was accepted and goes on, as far as is "
                                                    "known (see merganser watch ",
                                                    name, ")")));
    return kFailed;
  }
  if (!IsTerminal(last->state)) {
    const std::string shown = OneLine(name);
    std::fprintf(stderr, "%s goes on; stop it with: merganser cancel %s\n", shown.c_str(),
                 shown.c_str());
    return kInterrupted;
  }
  // On stderr: stdout of `submit` is the job's name and nothing else.
  std::fputs(EndText(*last).c_str(), stderr);
  return JobExitCode(*last);
}

int FollowAsJson(MergeClient& client, const std::string& name, InterruptWatcher& interrupts) {
  std::atomic<bool> interrupted = false;
  const HandlerScope handlers(interrupts);
  interrupts.SetHandler([&interrupted] { interrupted = true; });
  WatchPatience patience;
  patience.limit = kWatchPatience;
  patience.notice = [](const std::string& line) {
    std::fprintf(stderr, "%s\n", OneLine(line).c_str());
  };
  std::optional<JobInfo> told;
  const auto tell = [&](const JobInfo& job) {
    if (!told.has_value() || *told != job) {
      std::fputs(JobLine(job).c_str(), stdout);
      std::fflush(stdout);
      told = job;
    }
    return !interrupted && std::ferror(stdout) == 0;
  };
  const absl::StatusOr<JobInfo> last = client.Watch(name, tell, patience);
  interrupts.ClearHandler();
  if (!last.ok()) return Fail(last.status(), Phase::kRunning);
  return IsTerminal(last->state) ? JobExitCode(*last) : kInterrupted;
}

}  // namespace merganser::cli
