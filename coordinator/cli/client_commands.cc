// Commands that talk to a coordinator: submit, get, watch, cancel, health. More of them:
// jobs_commands.cc.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/duration_text.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/prepare/prepare.h"
#include "common/storage/uri.h"
#include "coordinator/cli/commands.h"
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

// Follows a job to its end; an interrupt stops following, not the job. `accepted`: what submit
// was answered.
int Follow(MergeClient& client, const std::string& name, InterruptWatcher& interrupts,
           const std::optional<JobInfo>& accepted = std::nullopt) {
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

// The same for programs: a line of JSON for the job as it is, and one for every change.
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

int DryRun(MergeClient& client, const JobRequest& request) {
  const absl::StatusOr<JobInfo> job = client.Validate(request);
  if (!job.ok()) return Fail(job.status(), Phase::kPlanning);
  if (!job->name.empty()) {
    const absl::Status cancelled = client.Cancel(job->name).status();
    return Fail(absl::FailedPreconditionError(absl::StrCat(
                    "found a coordinator that knows no dry runs and took the job; ", job->name,
                    cancelled.ok() ? " was cancelled"
                                   : " could not be cancelled, look at it with merganser get")),
                Phase::kPlanning);
  }
  for (const std::string& warning : job->warnings) {
    std::fprintf(stderr, "warning: %s\n", OneLine(warning).c_str());
  }
  const JobProgress& plan = job->progress;
  if (plan.units_total == 0) {
    std::printf("would be accepted\n");
  } else {
    std::printf("would be accepted: %llu units, %s to analyze and write\n",
                static_cast<unsigned long long>(plan.units_total),
                FormatBytes(plan.bytes_total).c_str());
  }
  return kDone;
}

}  // namespace

int RunSubmit(const SubmitFlags& flags, InterruptWatcher& interrupts) {
  absl::StatusOr<std::string> text = ReadRecipeFile(flags.recipe);
  if (!text.ok()) return Fail(text.status(), Phase::kPlanning);
  JobRequest request;
  request.recipe = *std::move(text);
  request.source_name = flags.recipe;
  request.directories = RecipeDirectories(flags.recipe);
  request.overwrite = flags.overwrite;
  request.priority = flags.priority;
  request.display_name = flags.name;
  request.labels = flags.labels;
  absl::StatusOr<Uri> uri = ParseUri(flags.output);
  if (uri.ok()) uri = Absolute(*uri, request.directories.front());
  if (!uri.ok()) return Fail(uri.status(), Phase::kPlanning);
  request.output_uri = uri->ToString();

  MergeClient client(flags.coordinator.address, flags.coordinator.security);
  if (flags.dry_run) return DryRun(client, request);
  const absl::StatusOr<JobInfo> job = client.Submit(request, flags.request_id);
  if (!job.ok()) return Fail(job.status(), Phase::kPlanning);
  std::printf("%s\n", OneLine(job->name).c_str());
  std::fflush(stdout);
  return flags.watch ? Follow(client, job->name, interrupts, *job) : kDone;
}

int RunGet(const Target& coordinator, const std::string& job, bool json) {
  const absl::StatusOr<JobInfo> found =
      MergeClient(coordinator.address, coordinator.security).Get(FullJobName(job));
  if (!found.ok()) return Fail(found.status(), Phase::kPlanning);
  std::fputs((json ? JobJson(*found) : JobText(*found)).c_str(), stdout);
  return kDone;
}

int RunWatch(const Target& coordinator, const std::string& job, bool json,
             InterruptWatcher& interrupts) {
  MergeClient client(coordinator.address, coordinator.security);
  if (json) return FollowAsJson(client, FullJobName(job), interrupts);
  return Follow(client, FullJobName(job), interrupts);
}

int RunCancel(const Target& coordinator, const std::string& job) {
  const absl::StatusOr<JobInfo> found =
      MergeClient(coordinator.address, coordinator.security).Cancel(FullJobName(job));
  if (!found.ok()) return Fail(found.status(), Phase::kPlanning);
  std::fputs(JobText(*found).c_str(), stdout);
  return kDone;
}

int RunHealth(const Target& coordinator) {
  const absl::Status health = MergeClient(coordinator.address, coordinator.security).Health();
  if (!health.ok()) return Fail(health, Phase::kPlanning);
  std::printf("serving\n");
  return kDone;
}

}  // namespace merganser::cli
