// JobManager, the part that takes one job from its plan to its publication, round by
// round, and goes on with one that an earlier process began.
#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/job_log.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/mounts.h"
#include "coordinator/service/plan_record.h"
#include "coordinator/service/planning_deaths.h"
#include "coordinator/service/requests.h"
#include "proto/convert/gates_codec.h"
#include "proto/convert/plan_codec.h"

namespace merganser {
namespace {

std::string ErrorReason(const absl::Status& status, bool request_wrong) {
  if (IsRetryable(status)) return "RETRY_MAY_HELP";
  return request_wrong ? "REQUEST_WRONG" : "RUN_FAILED";
}

// An output that is taken or cannot be named is the request's fault; a disk that fails is not.
bool OutputRefused(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) ||
         absl::IsPermissionDenied(status);
}

// Of a job that has a plan on record: inputs that are not there now were there when it was made,
// and are waited for as storage is that does not answer. More likely than a model that somebody
// removed is a share that is mounted late.
absl::Status AwaitInputs(const absl::Status& status, std::string_view why) {
  if (!absl::IsNotFound(status)) return status;
  return absl::UnavailableError(absl::StrCat(std::string(status.message()), "; ", std::string(why),
                                             ": mount its storage, or cancel the job"));
}

}  // namespace

void JobManager::Run(const JobPtr& job) {
  std::shared_ptr<JobRun> run;
  bool request_wrong = false;
  bool thrown = true;
  const absl::StatusOr<std::string> summary = Guarded([&]() -> absl::StatusOr<std::string> {
    JobInfo info;
    {
      MutexLock lock(mutex_);
      info = job->record.info;
      info.request.recipe = *job->recipe;
    }
    run = runs_(info);
    std::vector<std::string> mounts = MountsOf(run->Paths());
    {
      MutexLock lock(mutex_);
      job->mounts = std::move(mounts);
    }
    // An error on record: it was to fail when the process ended that it failed in.
    absl::StatusOr<std::string> ended = std::string();
    if (info.error.ok() && job->planning_deaths >= kMostPlanningDeaths) {
      ended = DiedPlanning();
    } else if (info.error.ok()) {
      ended = RunToPublication(job, run, request_wrong);
    } else {
      ended = info.error;
    }
    thrown = false;
    return ended;
  });
  if (thrown) request_wrong = false;
  {
    MutexLock lock(mutex_);
    EndPlanning(*job);
  }
  // Its end may be begun again at every step: what finds no memory for it waits for some.
  while (true) {
    const absl::Status ended = Guarded([&] {
      if (summary.ok()) {
        RunToSuccess(job, *run, *summary);
      } else {
        RunToFailure(job, run, summary.status(), request_wrong);
      }
    });
    if (ended.ok()) return;
    MutexLock lock(mutex_);
    if (!Pause().ok()) return;
  }
}

// If this cannot be recorded before the end of this process, the next one finds the
// publication complete.
void JobManager::RunToSuccess(const JobPtr& job, JobRun& run, const std::string& summary) {
  const std::string verdict = options_.verdict ? options_.verdict(run) : "";
  Record(job, Persistence::kUntilRecorded, [&](JobRecord& record) {
    record.info.state = JobState::kSucceeded;
    record.info.finished = clock_.WallNow();
    record.info.cancelling = false;
    record.info.report_summary = summary;
    record.info.verdict = verdict;
    for (const std::string& warning : run.Warnings()) record.info.warnings.push_back(warning);
    return absl::OkStatus();
  }).IgnoreError();
}

// A job that fails or is cancelled ends in these steps, so that a process that is killed
// between any two leaves enough for the next one to end it the same way:
//   1. Nobody is sent to write to its output any more.
//   2. The failure is on record (that it is to be cancelled is already).
//   3. Its partial output is removed.
//   4. The end is on record.
void JobManager::RunToFailure(const JobPtr& job, const std::shared_ptr<JobRun>& run,
                              absl::Status status, bool request_wrong) {
  std::optional<bool> left;
  {
    MutexLock lock(mutex_);
    Unschedule(*job);
    if (IsCoordinatorStopping(status) && store_.durable()) return;  // it goes on
    left = job->left;
  }
  const absl::Status decided = Record(job, Persistence::kUntilRecorded, [&](JobRecord& record) {
    if (job->cancel || !record.info.error.ok()) return absl::OkStatus();
    record.info.error = absl::Status(status.code(), OneLine(std::string(status.message())));
    record.info.error_reason = ErrorReason(status, request_wrong);
    return absl::OkStatus();
  });
  if (!decided.ok()) return;
  absl::Status abandoned;
  if (left.has_value()) {
    if (*left) {
      abandoned = absl::UnavailableError(
          "its storage does not answer; what was begun there is removed when it does");
    }
  } else if (run != nullptr) {
    abandoned = run->Abandon();
  }
  if (run != nullptr && !left.has_value() && abandoned.ok() && job->recovered) {
    abandoned = run->Discard();
    while (absl::IsAborted(abandoned)) {
      {
        MutexLock lock(mutex_);
        if (!Pause().ok()) return;  // the next start discards it
      }
      abandoned = run->Discard();
    }
  }
  Record(job, Persistence::kUntilRecorded, [&](JobRecord& record) {
    JobInfo& info = record.info;
    if (!abandoned.ok()) {
      info.warnings.push_back(
          absl::StrCat("partial output may remain: ", std::string(abandoned.message())));
    }
    info.state = job->cancel ? JobState::kCancelled : JobState::kFailed;
    if (job->cancel) {
      info.error = absl::OkStatus();
      info.error_reason.clear();
    }
    info.cancelling = false;
    info.finished = clock_.WallNow();
    return absl::OkStatus();
  }).IgnoreError();
}

absl::Status JobManager::Patiently(const JobPtr& job, const std::function<absl::Status()>& step,
                                   bool without) {
  absl::Status status = Guarded([&] {
    absl::Status done = step();
    while (IsRetryable(done)) {
      MERGANSER_RETURN_IF_ERROR(AwaitStorage(*job, done, without));
      done = step();
    }
    return done;
  });
  return status;
}

absl::Status JobManager::Leavable(const JobPtr& job, const std::shared_ptr<JobRun>& run,
                                  bool writes, std::function<absl::Status()> step) {
  const MonotonicTime began = clock_.Now();
  const auto tidy = std::make_shared<std::atomic<bool>>(false);
  bool lent = false;
  const auto give_up = [&] {
    MutexLock lock(mutex_);
    const absl::Status interrupted = Interruption(*job);
    if (!interrupted.ok()) {
      // Else it goes on at the next start.
      *tidy = !IsCoordinatorStopping(interrupted) || !store_.durable();
      return true;
    }
    if (job->place.lent || clock_.Now() - began < options_.lend_after) return false;
    Guarded([&] {
      mutex_.AssertHeld();
      job->trouble = absl::StrCat("waits for storage: it has not answered for ",
                                  (clock_.Now() - began) / std::chrono::seconds(1), " s");
      AddEvent(*job, job->trouble);
      Log(JobLine(LogLevel::kWarn, job->record.info, job->trouble));
    }).IgnoreError();
    Lend(*job);
    lent = true;
    changed_.NotifyAll();
    return false;
  };
  const auto late = [run, tidy, recovered = job->recovered] {
    if (!*tidy) return;
    run->Abandon().IgnoreError();
    if (recovered) run->Discard().IgnoreError();
  };
  std::vector<std::string> mounts;
  {
    MutexLock lock(mutex_);
    mounts = job->mounts;
  }
  std::optional<absl::Status> status = left_behind_.Run(mounts, std::move(step), give_up, late);
  MutexLock lock(mutex_);
  if (!status.has_value()) {
    job->left = writes || job->recovered;
    Log(JobLine(LogLevel::kWarn, job->record.info, "its storage does not answer; left behind"));
    return Interruption(*job);
  }
  if (!lent) return *std::move(status);
  job->trouble.clear();
  MERGANSER_RETURN_IF_ERROR(*status);
  return AwaitPlace(*job);
}

absl::Status JobManager::AwaitStorage(Job& job, const absl::Status& why, bool without) {
  MutexLock lock(mutex_);
  MERGANSER_RETURN_IF_ERROR(Interruption(job));
  EndPlanning(job);  // the process lives, and others may plan
  // Of an output that another machine may hold it is not storage that is missing.
  const std::string trouble = absl::StrCat(absl::IsAborted(why) ? "waits: " : "waits for storage: ",
                                           OneLine(std::string(why.message())));
  if (job.trouble.empty()) {
    AddEvent(job, trouble);
    Log(JobLine(LogLevel::kWarn, job.record.info, trouble));
  }
  job.trouble = trouble;
  job.waits = true;
  Lend(job);
  changed_.NotifyAll();
  MERGANSER_RETURN_IF_ERROR(Pause(&job));
  MERGANSER_RETURN_IF_ERROR(without ? Interruption(job) : AwaitPlace(job));
  job.trouble = trouble;
  job.waits = false;
  return absl::OkStatus();
}

absl::Status JobManager::BeginPlanning(const JobPtr& job) {
  {
    MutexLock lock(mutex_);
    if (job->planning_deaths > 0) {
      while (planning_alone_) {
        MERGANSER_RETURN_IF_ERROR(Interruption(*job));
        changed_.Wait(mutex_);
      }
      planning_alone_ = job->plans_alone = true;
    }
    job->plans = true;
    AddEvent(*job, kPlanningBegins);
  }
  // The store keeps events in order: what is saved after one comes after it.
  return Record(job, Persistence::kUntilRecorded, [&](JobRecord& record) -> absl::Status {
    mutex_.AssertHeld();
    MERGANSER_RETURN_IF_ERROR(Interruption(*job));
    if (record.info.state == JobState::kQueued) record.info.state = JobState::kPlanning;
    if (!record.info.started.has_value()) record.info.started = clock_.WallNow();
    return absl::OkStatus();
  });
}

void JobManager::EndPlanning(Job& job) {
  job.plans = false;
  if (!std::exchange(job.plans_alone, false)) return;
  planning_alone_ = false;
  changed_.NotifyAll();
}

absl::Status JobManager::TakeOverWrites(const JobPtr& job, const std::shared_ptr<JobRun>& run,
                                        std::vector<UnitResult>& done,
                                        std::optional<std::vector<PlannedWrite>>& writes) {
  struct Taken {
    std::vector<UnitResult> done;
    std::optional<std::vector<PlannedWrite>> writes;
    Mutex mutex;
    bool left MERGANSER_GUARDED_BY(mutex) = false;
  };
  const auto taken = std::make_shared<Taken>();
  taken->done = std::move(done);
  const std::string uid = job->record.info.uid;
  // The store may go once the job has left this behind.
  const auto forget = [this, taken, uid] {
    MutexLock lock(taken->mutex);
    return taken->left ? absl::CancelledError("the job is over") : store_.ForgetResults(uid);
  };
  const absl::Status status = Patiently(job, [&] {
    return Leavable(
        job, run, /*writes=*/true, [run, taken, forget, epoch = epoch_]() -> absl::Status {
          MERGANSER_ASSIGN_OR_RETURN(taken->writes, run->Resume(epoch, taken->done, forget));
          return absl::OkStatus();
        });
  });
  {
    MutexLock lock(taken->mutex);
    taken->left = true;
  }
  MERGANSER_RETURN_IF_ERROR(status);
  done = std::move(taken->done);
  writes = std::move(taken->writes);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> JobManager::TakeUp(
    const JobPtr& job, const std::shared_ptr<JobRun>& run, ActivePlan& active,
    ResultsOnRecord& on_record, JobWorkers& workers, bool& request_wrong) {
  bool planned = false;
  std::vector<std::string> mounts;
  {
    MutexLock lock(mutex_);
    planned = !job->record.plan.digest.empty();
    mounts = job->mounts;
  }
  // What was planned once was right.
  request_wrong = !planned;
  const auto prepare = [&]() -> absl::Status {
    MERGANSER_RETURN_IF_ERROR(left_behind_.Check(mounts));
    const auto plan = std::make_shared<const Plan*>(nullptr);
    absl::Status prepared = Leavable(job, run, /*writes=*/false, [run, plan]() -> absl::Status {
      MERGANSER_ASSIGN_OR_RETURN(*plan, run->Prepare());
      return absl::OkStatus();
    });
    // Else it may be left behind, and write there yet.
    if (prepared.ok()) active.plan = *plan;
    if (planned) return AwaitInputs(prepared, "it was there when the job began");
    if (!job->found || clock_.Now() - started_ >= options_.inputs_wait) return prepared;
    return AwaitInputs(prepared, "it may be mounted late, and is looked for a while");
  };
  MERGANSER_RETURN_IF_ERROR(job->found ? Patiently(job, prepare) : prepare());
  JobRecord record;
  {
    MutexLock lock(mutex_);
    MERGANSER_RETURN_IF_ERROR(Interruption(*job));
    record = job->record;
  }
  const std::string& uid = record.info.uid;
  std::optional<std::vector<PlannedWrite>> writes;
  std::vector<UnitResult> done;
  if (job->recovered) {
    if (planned) {
      MERGANSER_RETURN_IF_ERROR(CheckSamePlan(record.plan, *active.plan));
      MERGANSER_RETURN_IF_ERROR(
          Patiently(job, [&] { return ReadResults(uid, *active.plan, done, workers); }));
    }
    if (record.info.state == JobState::kPublishing) {
      const auto summary = std::make_shared<std::optional<std::string>>();
      MERGANSER_RETURN_IF_ERROR(Patiently(job, [&] {
        return Leavable(job, run, /*writes=*/true, [run, summary]() -> absl::Status {
          MERGANSER_ASSIGN_OR_RETURN(*summary, run->FindPublished());
          return absl::OkStatus();
        });
      }));
      if (summary->has_value()) return *summary;
    }
    const absl::Status resumed = TakeOverWrites(job, run, done, writes);
    request_wrong = !planned && OutputRefused(resumed);
    MERGANSER_RETURN_IF_ERROR(resumed);
    if (!writes.has_value() && planned) {
      return absl::FailedPreconditionError(absl::StrCat(
          OneLine(record.info.request.output_uri),
          ": the job's claim is gone, expected it as the coordinator left it; another merge took "
          "the output over, or the file was removed"));
    }
  }
  if (!writes.has_value()) {
    using Begun = absl::StatusOr<std::vector<PlannedWrite>>;
    const auto begun = std::make_shared<Begun>(std::vector<PlannedWrite>());
    // Storage that fails fails the job while nothing was done; who may hold the claim is known
    // soon.
    request_wrong = false;
    MERGANSER_RETURN_IF_ERROR(Patiently(job, [&] {
      return Leavable(job, run, /*writes=*/true, [run, begun, epoch = epoch_] {
        *begun = run->Begin(epoch);
        return absl::IsAborted(begun->status()) ? begun->status() : absl::OkStatus();
      });
    }));
    request_wrong = OutputRefused(begun->status());
    MERGANSER_RETURN_IF_ERROR(begun->status());
    writes = *std::move(*begun);
  }
  request_wrong = false;
  MERGANSER_RETURN_IF_ERROR(active.Serialize(record.info, *std::move(writes)));
  if (done.empty()) workers = {};
  for (UnitResult& result : done) {
    const UnitOfRound place(result.round, result.unit);
    on_record.emplace(place, std::move(result));
  }
  return std::nullopt;
}

absl::StatusOr<std::string> JobManager::RunToPublication(const JobPtr& job,
                                                         const std::shared_ptr<JobRun>& run,
                                                         bool& request_wrong) {
  MERGANSER_RETURN_IF_ERROR(BeginPlanning(job));
  auto active = std::make_shared<ActivePlan>();
  active->run = run;
  ResultsOnRecord on_record;
  JobWorkers workers;
  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> published,
                             TakeUp(job, run, *active, on_record, workers, request_wrong));
  if (published.has_value()) return *std::move(published);

  // From here on workers may write, and a restart must find this plan again.
  const Plan& plan = *active->plan;
  const auto start = [&](JobRecord& record) -> absl::Status {
    mutex_.AssertHeld();
    MERGANSER_RETURN_IF_ERROR(Interruption(*job));
    // A publication that was begun is no longer to be cancelled. One that has lost what it was to
    // publish is none any more.
    if (record.info.state != JobState::kPublishing || on_record.empty()) {
      record.info.state = JobState::kRunning;
    }
    record.info.warnings = plan.warnings;
    BoundWarnings(kMaxPlanWarnings, record.info.warnings);
    record.plan = RecordOf(plan);
    return absl::OkStatus();
  };
  MERGANSER_RETURN_IF_ERROR(Record(job, Persistence::kUntilRecorded, start));
  {
    MutexLock lock(mutex_);
    if (job->recovered) {
      AddEvent(*job, absl::StrCat(std::string(kGoesOn), ": ", on_record.size(),
                                  " units of all rounds are done"));
    } else {
      AddEvent(*job, absl::StrCat(std::string(kPlanned), ": ", plan.units.size(), " units, ",
                                  plan.rounds, plan.rounds == 1 ? " round" : " rounds"));
    }
    EndPlanning(*job);
    job->plan = active;
  }
  absl::StatusOr<std::vector<UnitResult>> rounds;
  for (int again = 0;; ++again) {
    rounds = RunRounds(job, run, plan, std::exchange(on_record, {}), workers);
    MERGANSER_ASSIGN_OR_RETURN(const bool begun_again,
                               BegunAgain(job, rounds.status(), again, active, on_record, workers));
    if (!begun_again) break;
  }
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<UnitResult> results, std::move(rounds));
  RunFacts facts;
  {
    MutexLock lock(mutex_);
    Unschedule(*job);
  }
  const auto publish = [&](JobRecord& record) -> absl::Status {
    mutex_.AssertHeld();
    MERGANSER_RETURN_IF_ERROR(Interruption(*job));
    record.info.state = JobState::kPublishing;
    facts.job = record.info.name;
    facts.started = *record.info.started;
    return absl::OkStatus();
  };
  MERGANSER_RETURN_IF_ERROR(Record(job, Persistence::kUntilRecorded, publish));
  for (const auto& [name, threads] : workers.threads) {
    facts.workers.push_back(name);
    facts.threads += static_cast<int>(threads);
  }
  facts.simd = absl::StrJoin(workers.simd, ", ");
  facts.program = options_.program;
  facts.finished = clock_.WallNow();
  // The work of hours lacks no more than its name, which is short work: it waits for no place.
  std::string summary;
  MERGANSER_RETURN_IF_ERROR(Patiently(
      job,
      [&]() -> absl::Status {
        MERGANSER_ASSIGN_OR_RETURN(summary, run->Publish(results, facts));
        return absl::OkStatus();
      },
      /*without=*/true));
  return summary;
}

}  // namespace merganser
