// JobManager, the part that takes a job through its rounds: what is on record of each, what workers
// are given, and what has to be done again.
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/engine/lost_units.h"
#include "common/engine/result_fold.h"
#include "common/engine/result_record.h"
#include "common/engine/rounds.h"
#include "coordinator/service/job_manager.h"
#include "proto/convert/gates_codec.h"
#include "proto/convert/plan_codec.h"

namespace merganser {

UnitBatch JobManager::TakeFromRecord(const JobPtr& job, const Plan& plan, JobRounds& rounds,
                                     ResultsOnRecord& on_record) {
  UnitBatch batch;
  batch.round = rounds.round();
  JobProgress done;
  for (const uint32_t unit : rounds.units()) {
    const uint64_t bytes = RoundBytes(plan, plan.units[unit], rounds.round(), *rounds.gates());
    if (const auto it = on_record.find({rounds.round(), unit}); it != on_record.end()) {
      {
        MutexLock lock(mutex_);
        NoteDone(*job, plan, *rounds.gates(), it->second, /*recorded=*/true);
      }
      rounds.Take(std::move(it->second));
      on_record.erase(it);
      ++done.units_done;
      done.bytes_done += bytes;
      continue;
    }
    UnitDemand demand{plan.units[unit].memory, bytes};
    const auto attempts = job->attempts.find({rounds.round(), unit});
    if (attempts != job->attempts.end()) {
      demand.attempts = attempts->second.count;
      demand.failed_on = attempts->second.failed_on;
      demand.lost_on = attempts->second.lost_on;
    }
    batch.demands.push_back(std::move(demand));
    batch.units.push_back(unit);
  }
  MutexLock lock(mutex_);
  job->before.units_done += done.units_done;
  job->before.bytes_done += done.bytes_done;
  return batch;
}

absl::Status JobManager::ReadResults(const std::string& uid, const Plan& plan,
                                     std::vector<UnitResult>& results, JobWorkers& workers) {
  constexpr uint64_t kPageBytes = 16 << 20;
  ResultFold fold;
  workers = {};
  for (std::optional<ResultPlace> after;;) {
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<StoredResult> page,
                               store_.Results(uid, after, kPageBytes));
    if (page.empty()) break;
    for (const StoredResult& one : page) {
      absl::StatusOr<UnitResult> parsed = ParseResult(one.bytes, plan);
      if (!parsed.ok() || parsed->unit != one.unit || parsed->round != one.round) {
        const absl::Status status =
            parsed.ok() ? absl::DataLossError("found the result of another unit") : parsed.status();
        return Annotate(
            status, absl::StrCat("the result on record of unit ", one.unit, ", round ", one.round));
      }
      parsed->worker = one.worker;  // whatever it called itself
      fold.Add(*std::move(parsed));
      workers.Add(one.worker, one.threads, one.simd);
    }
    after = ResultPlace{page.back().round, page.back().unit};
  }
  results = fold.Take();
  return absl::OkStatus();
}

absl::StatusOr<bool> JobManager::RedoLost(const JobPtr& job, const std::shared_ptr<JobRun>& run,
                                          const Plan& plan, JobRounds& rounds, int& redone) {
  std::vector<uint32_t> lost;
  MERGANSER_RETURN_IF_ERROR(Patiently(job, [&]() -> absl::Status {
    MERGANSER_ASSIGN_OR_RETURN(lost, run->LostUnits(rounds.results()));
    return absl::OkStatus();
  }));
  if (lost.empty()) return false;
  if (++redone > kMostRedone) return RedoneTooOften(lost.size());
  MutexLock lock(mutex_);
  AddEvent(*job,
           absl::StrCat(lost.size(), " units are done again: their parts were written over since"));
  EndRound(*job);
  for (const uint32_t unit : lost) {
    --job->before.units_done;
    job->before.bytes_done -= RoundBytes(plan, plan.units[unit], rounds.round(), *rounds.gates());
  }
  rounds.Redo(std::move(lost));
  return true;
}

absl::StatusOr<bool> JobManager::BegunAgain(const JobPtr& job, const absl::Status& rounds,
                                            int times_before, std::shared_ptr<ActivePlan>& active,
                                            ResultsOnRecord& on_record, JobWorkers& workers) {
  // A write that is gone is not found by the unit that writes to it.
  if (!rounds.ok() && !absl::IsNotFound(rounds)) return false;
  JobInfo info;
  {
    MutexLock lock(mutex_);
    info = job->record.info;
  }
  bool gone = false;
  MERGANSER_RETURN_IF_ERROR(Patiently(job, [&]() -> absl::Status {
    MERGANSER_ASSIGN_OR_RETURN(gone, active->run->WritesAreGone());
    return absl::OkStatus();
  }));
  if (!gone) return false;
  if (times_before == kMostRedone) {
    return absl::AbortedError(absl::StrCat(
        Shown(info.request.output_uri), ": uploads that were under way are gone, for the ",
        kMostRedone + 1,
        "th time: a rule of the bucket ends them too early, or another process does; see to that, "
        "and submit the job again"));
  }
  std::vector<UnitResult> done;
  std::optional<std::vector<PlannedWrite>> writes;
  MERGANSER_RETURN_IF_ERROR(
      Patiently(job, [&] { return ReadResults(info.uid, *active->plan, done, workers); }));
  MERGANSER_RETURN_IF_ERROR(Patiently(job, [&]() -> absl::Status {
    MERGANSER_ASSIGN_OR_RETURN(writes, active->run->BeginGoneWrites(done));
    return absl::OkStatus();
  }));
  // Workers may be fetching the one that they have.
  active = std::make_shared<ActivePlan>(*active);
  if (writes.has_value()) MERGANSER_RETURN_IF_ERROR(active->Serialize(info, *std::move(writes)));
  on_record.clear();
  for (UnitResult& result : done) {
    const UnitOfRound place(result.round, result.unit);
    on_record.emplace(place, std::move(result));
  }
  MutexLock lock(mutex_);
  AddEvent(*job,
           "uploads that were under way are gone: they are begun again, and what was in them is "
           "done once more");
  job->plan = active;
  // Those of units that found their upload gone say nothing of units or workers.
  job->attempts.clear();
  if (job->activity.has_value()) job->activity->BeginAgain();
  job->measured.clear();
  job->before.units_done = job->before.bytes_done = 0;
  return true;
}

void JobManager::EndRound(Job& job) {
  job.progress = Snapshot(job).progress;
  job.before.units_done = job.progress.units_done;
  job.before.bytes_done = job.progress.bytes_done;
  job.before.retries = job.progress.retries;
  schedule_.RemoveJob(job.record.info.uid);
  job.scheduled = false;
}

absl::StatusOr<std::vector<UnitResult>> JobManager::RunRounds(const JobPtr& job,
                                                              const std::shared_ptr<JobRun>& run,
                                                              const Plan& plan,
                                                              ResultsOnRecord on_record,
                                                              JobWorkers& workers) {
  MERGANSER_ASSIGN_OR_RETURN(const PlanMethods methods, PlanMethods::Make(plan));
  JobRounds rounds(plan, methods);
  // The schedule calls `rounds`: however this ends, it goes first.
  struct Leave {
    JobManager& manager;
    Job& job;
    ~Leave() {
      MutexLock lock(manager.mutex_);
      manager.Unschedule(job);
    }
  } leave{*this, *job};
  const TotalWork total = AllRounds(plan);
  int redone = 0;
  while (true) {
    auto gates = std::make_shared<const std::string>(SerializeGates(*rounds.gates()));
    BeginRound(job, plan, rounds);
    UnitBatch batch = TakeFromRecord(job, plan, rounds, on_record);
    // Called by Sync, under the lock, while this thread waits for units.
    batch.accept = [this, &rounds, &plan, &job](UnitResult& result) {
      mutex_.AssertHeld();
      metrics_.UnitCompleted(result);
      NoteDone(*job, plan, *rounds.gates(), result, /*recorded=*/false);
      rounds.TakeCounts(result);
    };
    std::vector<UnitResult> results;
    {
      MutexLock lock(mutex_);
      MERGANSER_RETURN_IF_ERROR(Interruption(*job));
      const std::string& uid = job->record.info.uid;
      batch.priority = job->record.info.request.priority;
      job->round = rounds.round();
      job->gates = std::move(gates);
      job->before.units_total = total.units;
      job->before.bytes_total = total.bytes;
      MERGANSER_RETURN_IF_ERROR(
          schedule_.AddJob(uid, job->record.sequence, std::move(batch), clock_.Now()));
      job->scheduled = true;
      changed_.NotifyAll();
      MERGANSER_RETURN_IF_ERROR(AwaitUnits(job));
      MERGANSER_ASSIGN_OR_RETURN(results, schedule_.TakeResults(uid));
      JobWorkers of_round = schedule_.Workers(uid);
      workers.threads.merge(of_round.threads);
      workers.simd.merge(of_round.simd);
      if (!rounds.last()) EndRound(*job);
      // Results of leases that were lost may have ended it.
      MERGANSER_RETURN_IF_ERROR(AwaitPlace(*job));
    }
    for (UnitResult& result : results) rounds.Take(std::move(result));
    if (!rounds.last()) {
      MERGANSER_RETURN_IF_ERROR(rounds.Advance());
      continue;
    }
    MERGANSER_ASSIGN_OR_RETURN(const bool again, RedoLost(job, run, plan, rounds, redone));
    if (!again) return rounds.TakeResults();
  }
}

absl::Status JobManager::AwaitUnits(const JobPtr& job) {
  while (true) {
    MERGANSER_RETURN_IF_ERROR(Interruption(*job));
    const std::optional<ScheduleStatus> status = schedule_.Status(job->record.info.uid);
    if (!status.has_value()) return absl::InternalError("the job left the schedule");
    if (status->outcome.has_value()) return *status->outcome;
    job->ended.Wait(mutex_);
  }
}

}  // namespace merganser
