// JobManager, the part that deals with its store: what is recorded before it is acted
// on, what is told of a job, and what is forgotten.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/engine/result_record.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/job_log.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/requests.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

std::string Text(const absl::Status& status) { return OneLine(std::string(status.message())); }

std::string EndText(const JobInfo& info) {
  if (info.state == JobState::kSucceeded) return "finished";
  return info.state == JobState::kCancelled ? "cancelled"
                                            : absl::StrCat("failed: ", Text(info.error));
}

}  // namespace

void JobManager::Log(const LogLine& line) const {
  if (options_.log) options_.log(line);
}

absl::Status JobManager::Record(const JobPtr& job, Persistence persistence, const Change& change) {
  while (true) {
    JobRecord next;
    {
      MutexLock lock(mutex_);
      while (job->saving) changed_.Wait(mutex_);
      next = job->record;
      MERGANSER_RETURN_IF_ERROR(change(next));
      if (IsTerminal(next.info.state)) {
        next.info.progress = job->progress;
        next.info.progress.detail.clear();
        if (job->activity.has_value()) {
          job->activity->End(clock_.Now());
          next.info.progress.bytes_read = job->activity->completed().bytes_read;
          next.info.progress.bytes_written = job->activity->completed().bytes_written;
        }
        next.ended_after = Served();
        next.activity = StoryForRecord(*job, next.info);
      }
      BoundTexts(next.info);
      job->saving = true;
    }
    absl::Status saved = Guarded([&] {
      next.info.request.recipe = *job->recipe;
      return store_.Save(next);
    });
    next.info.request.recipe = std::string();
    next.activity = std::string();
    JobTable::Forgotten forgotten;
    {
      MutexLock lock(mutex_);
      job->saving = false;
      changed_.NotifyAll();
      if (!saved.ok()) {
        if (persistence == Persistence::kOnce) return saved;
        if (job->trouble.empty()) {
          Log(JobLine(
              LogLevel::kWarn, next.info,
              absl::StrCat("cannot be recorded as ", std::string(JobStateName(next.info.state)),
                           ", trying again: ", Text(saved))));
        }
        job->trouble = absl::StrCat("its state cannot be recorded: ", Text(saved));
        MERGANSER_RETURN_IF_ERROR(Pause());
        continue;
      }
      if (job->phases.empty() || next.info.state != job->record.info.state) {
        Guarded([&] { job->phases.push_back({next.info.state, clock_.WallNow()}); }).IgnoreError();
      }
      Guarded([&] {
        for (const LogLine& line : ChangeLines(job->record.info, next.info)) Log(line);
      }).IgnoreError();
      job->record = std::move(next);
      job->trouble.clear();
      if (IsTerminal(job->record.info.state)) {
        job->activity.reset();
        metrics_.JobEnded(job->record.info.state);
        Guarded([&] {
          mutex_.AssertHeld();
          AddEvent(*job, EndText(job->record.info));
          forgotten = TakeOldJobs();
        }).IgnoreError();
      }
      // Unless it was among the old ones itself.
      if (table_.Has(job->record.info.uid)) Show(*job);
    }
    RemoveFromStore(forgotten);
    return absl::OkStatus();
  }
}

void JobManager::RecordResults(WorkerReport& report) {
  if (!store_.durable() || report.completed.empty()) return;
  std::vector<StoredResult> results;
  std::vector<size_t> places;
  {
    MutexLock lock(mutex_);
    for (size_t i = 0; i < report.completed.size(); ++i) {
      const WorkerReport::Completed& completed = report.completed[i];
      const UnitResult& result = completed.result;
      if (!schedule_.Expects(completed.job, completed.token, result.unit, result.round)) continue;
      places.push_back(i);
      results.push_back({completed.job, result.round, result.unit, "", report.worker,
                         report.threads, report.simd});
    }
  }
  if (results.empty()) return;
  for (size_t i = 0; i < results.size(); ++i) {
    results[i].bytes = std::move(report.completed[places[i]].record);
  }
  const absl::Status kept = Guarded([&] { return store_.AddResults(std::move(results)); });
  if (!kept.ok()) {
    for (auto place = places.rbegin(); place != places.rend(); ++place) {
      report.unrecorded.push_back(report.completed[*place].token);
      report.completed.erase(report.completed.begin() + static_cast<ptrdiff_t>(*place));
    }
    // More units would only add to what waits.
    report.wanted = 0;
  }
  MutexLock lock(mutex_);
  SetRecordTrouble(kept);
}

void JobManager::SetRecordTrouble(const absl::Status& status) {
  const std::string trouble =
      status.ok() ? "" : absl::StrCat("results cannot be recorded: ", Text(status));
  if (trouble.empty() != record_trouble_.empty()) {
    if (trouble.empty()) {
      Log(LogLevel::kInfo, "results are recorded again");
    } else {
      Log(LogLevel::kError, absl::StrCat(trouble, "; units that are done wait with their workers"));
    }
  }
  record_trouble_ = trouble;
}

void JobManager::AddEvent(Job& job, std::string_view text, std::optional<UnitAttempt> attempt) {
  Guarded([&] {
    JobEvent event{clock_.WallNow(), Cut(OneLine(text), kMaxEventText)};
    store_.AddEvents(job.record.info.uid, {{event, std::move(attempt)}});
    job.folded.Add(event.time, event.text);
    job.events.push_back(std::move(event));
    if (job.events.size() > kKeptEvents) job.events.pop_front();
    job.shown_events.reset();
  }).IgnoreError();
}

void JobManager::NoteTrouble() {
  for (const UnitTrouble& trouble : schedule_.TakeTrouble()) {
    metrics_.LeaseFailed(trouble.reported);
    const JobPtr job = table_.Get(trouble.job);
    if (job == nullptr) continue;
    Guarded([&] {
      mutex_.AssertHeld();
      const WallTime now = clock_.WallNow();
      if (job->activity.has_value()) job->activity->Troubled(trouble, now);
      MutexLock lock(fleet_mutex_);
      fleet_.Troubled(trouble, now);
    }).IgnoreError();
    Guarded([&] {
      Log(UnitTroubleLine(job->record.info, trouble,
                          job->plan == nullptr ? nullptr : job->plan->plan));
    }).IgnoreError();
    AddEvent(*job,
             absl::StrCat("unit ", trouble.unit,
                          trouble.reported ? " failed on worker " : " was lost by worker ",
                          trouble.worker, ": ", Text(trouble.why)),
             UnitAttempt{trouble.round, trouble.unit, trouble.worker, trouble.reported});
  }
}

JobTable::Forgotten JobManager::TakeOldJobs() {
  JobTable::Forgotten forgotten = table_.TakeOld(Kept(), Served());
  for (const std::string& uid : forgotten.removed) board_.Remove(uid);
  for (const std::string& uid : forgotten.retired) board_.Remove(uid);
  return forgotten;
}

void JobManager::RemoveFromStore(const JobTable::Forgotten& forgotten) {
  // What cannot be forgotten in the store comes back at the next start, and is
  // forgotten then.
  for (const std::string& uid : forgotten.removed) store_.Remove(uid).IgnoreError();
  for (const std::string& uid : forgotten.retired) store_.Retire(uid).IgnoreError();
  if (!forgotten.requests.empty()) store_.ForgetSpent(forgotten.requests).IgnoreError();
}

void JobManager::TellForgotten() {
  if (table_.took_some()) Log(LogLevel::kInfo, table_.TellTaken(Kept()));
}

}  // namespace merganser
