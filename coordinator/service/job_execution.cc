// JobManager, the part that takes one job from its plan to its publication, round by
// round.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"
#include "coordinator/service/job_manager.h"
#include "proto/convert/plan_codec.h"
#include "proto/convert/result_codec.h"

namespace merganser {
namespace {

UnitBatch BatchOf(const Plan& plan, const JobRounds& rounds) {
  UnitBatch batch;
  batch.round = rounds.round();
  for (const uint32_t u : rounds.units()) {
    batch.demands.push_back(
        {plan.units[u].memory, RoundBytes(plan, plan.units[u], rounds.round(), *rounds.gates())});
  }
  if (plan.rounds > 1) batch.units = rounds.units();
  return batch;
}

// `later` as well as `workers`, each name once.
void AddWorkers(const JobWorkers& later, JobWorkers& workers) {
  std::set<std::string> names(workers.names.begin(), workers.names.end());
  std::set<std::string> simd(workers.simd.begin(), workers.simd.end());
  names.insert(later.names.begin(), later.names.end());
  simd.insert(later.simd.begin(), later.simd.end());
  workers.names.assign(names.begin(), names.end());
  workers.simd.assign(simd.begin(), simd.end());
  workers.threads = std::max(workers.threads, later.threads);
}

}  // namespace

void JobManager::Run(const JobPtr& job) {
  JobInfo info;
  {
    MutexLock lock(mutex_);
    info = job->record.info;
  }
  const std::shared_ptr<JobRun> run = runs_(info);
  bool request_wrong = false;
  absl::StatusOr<std::string> summary = RunToPublication(job, run, request_wrong);
  absl::Status abandoned;
  if (!summary.ok()) {
    {
      // Before the partial output goes, so that nobody is sent to write to it.
      MutexLock lock(mutex_);
      Unschedule(*job);
    }
    abandoned = run->Abandon();
  }
  MutexLock lock(mutex_);
  if (!abandoned.ok()) {
    job->record.info.warnings.push_back(
        absl::StrCat("partial output may remain: ", std::string(abandoned.message())));
  }
  if (summary.ok()) {
    job->record.info.report_summary = *std::move(summary);
    for (std::string& warning : run->Warnings()) {
      job->record.info.warnings.push_back(std::move(warning));
    }
  }
  Finish(*job, summary.status(), request_wrong);
}

absl::StatusOr<std::string> JobManager::RunToPublication(const JobPtr& job,
                                                         const std::shared_ptr<JobRun>& run,
                                                         bool& request_wrong) {
  request_wrong = true;
  MERGANSER_ASSIGN_OR_RETURN(const Plan* plan, run->Prepare());
  {
    MutexLock lock(mutex_);
    MERGANSER_RETURN_IF_ERROR(Interruption(*job));
  }
  absl::StatusOr<std::vector<PlannedWrite>> writes = run->Begin(epoch_);
  if (!writes.ok()) {
    // An output that is taken or cannot be named is the request's fault; a disk
    // that fails is not.
    request_wrong = absl::IsFailedPrecondition(writes.status()) ||
                    absl::IsInvalidArgument(writes.status()) ||
                    absl::IsPermissionDenied(writes.status());
    return writes.status();
  }
  request_wrong = false;
  auto active = std::make_shared<ActivePlan>();
  active->plan = plan;
  active->run = run;
  RunFacts facts;
  JobPlan job_plan;
  {
    MutexLock lock(mutex_);
    facts.job = job->record.info.name;
    job_plan.job = job->record.info.name;
    job_plan.job_uid = job->record.info.uid;
    job_plan.output_uri = job->record.info.request.output_uri;
  }
  job_plan.plan = *plan;
  job_plan.writes = *std::move(writes);
  active->serialized = SerializeJobPlan(job_plan);
  if (active->serialized.size() > kMaxJobPlanBytes) {
    return absl::InternalError(absl::StrCat("plan: found ", active->serialized.size(),
                                            " bytes, expected at most ", kMaxJobPlanBytes));
  }

  {
    MutexLock lock(mutex_);
    MERGANSER_RETURN_IF_ERROR(Interruption(*job));
    job->record.info.warnings = plan->warnings;
    job->plan = active;
  }
  JobWorkers workers;
  MERGANSER_ASSIGN_OR_RETURN(std::vector<UnitResult> results, RunRounds(job, *plan, workers));
  facts.workers = workers.names;
  facts.threads = static_cast<int>(workers.threads);
  facts.simd = absl::StrJoin(workers.simd, ", ");
  {
    MutexLock lock(mutex_);
    facts.started = *job->record.info.started;
    Unschedule(*job);
    SetState(*job, JobState::kPublishing);
  }
  facts.program = options_.program;
  facts.finished = clock_.WallNow();
  return run->Publish(results, facts);
}

absl::StatusOr<std::vector<UnitResult>> JobManager::RunRounds(const JobPtr& job, const Plan& plan,
                                                              JobWorkers& workers) {
  MERGANSER_ASSIGN_OR_RETURN(const PlanMethods methods, PlanMethods::Make(plan));
  JobRounds rounds(plan, methods);
  const TotalWork total = AllRounds(plan);
  while (true) {
    auto gates = std::make_shared<const std::string>(SerializeGates(*rounds.gates()));
    UnitBatch batch = BatchOf(plan, rounds);
    // Called by Sync, under the lock, while this thread waits for units.
    batch.accept = [&rounds](UnitResult& result) { rounds.TakeCounts(result); };
    std::vector<UnitResult> results;
    {
      MutexLock lock(mutex_);
      MERGANSER_RETURN_IF_ERROR(Interruption(*job));
      const std::string& uid = job->record.info.uid;
      job->round = rounds.round();
      job->gates = std::move(gates);
      job->before.units_total = total.units;
      job->before.bytes_total = total.bytes;
      MERGANSER_RETURN_IF_ERROR(
          schedule_.AddJob(uid, job->record.sequence, std::move(batch), clock_.Now()));
      job->scheduled = true;
      if (job->record.info.state != JobState::kRunning) SetState(*job, JobState::kRunning);
      const absl::Status done = AwaitUnits(job);
      if (!done.ok()) {
        Unschedule(*job);  // before `rounds` goes
        return done;
      }
      MERGANSER_ASSIGN_OR_RETURN(results, schedule_.TakeResults(uid));
      AddWorkers(schedule_.Workers(uid), workers);
      if (!rounds.last()) {
        const JobProgress so_far = Snapshot(*job, /*with_recipe=*/false).progress;
        job->before.units_done = so_far.units_done;
        job->before.bytes_done = so_far.bytes_done;
        job->before.retries = so_far.retries;
        schedule_.RemoveJob(uid);
        job->scheduled = false;
      }
    }
    for (UnitResult& result : results) rounds.Take(std::move(result));
    if (rounds.last()) return rounds.TakeResults();
    MERGANSER_RETURN_IF_ERROR(rounds.Advance());
  }
}

absl::Status JobManager::AwaitUnits(const JobPtr& job) {
  while (true) {
    MERGANSER_RETURN_IF_ERROR(Interruption(*job));
    const std::optional<ScheduleStatus> status = schedule_.Status(job->record.info.uid);
    if (!status.has_value()) return absl::InternalError("the job left the schedule");
    if (status->outcome.has_value()) return *status->outcome;
    changed_.Wait(mutex_);
  }
}

}  // namespace merganser
