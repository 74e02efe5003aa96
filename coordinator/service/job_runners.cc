// JobManager, the part that takes jobs up and has them wait for their places (job_places.h).
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "coordinator/service/job_manager.h"

namespace merganser {

void JobManager::RunnerLoop() {
  while (true) {
    JobPtr job;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && (job = places_.Next()) == nullptr) changed_.Wait(mutex_);
      if (stopping_) return;
      const absl::Status taken = Guarded([&] {
        mutex_.AssertHeld();
        job->activity.emplace(clock_.Now(), clock_.WallNow(), job->earlier_history);
        job->activity_kept = clock_.Now();
        places_.Take(job);
      });
      if (!taken.ok()) {  // no memory: it stays where it is for a while
        Pause().IgnoreError();
        continue;
      }
    }
    Run(job);
    MutexLock lock(mutex_);
    places_.Leave(*job);
    job->measured_plan.reset();
    job->measured = {};
    if (table_.Has(job->record.info.uid)) Show(*job);
    changed_.NotifyAll();
  }
}

void JobManager::AddRunner() {
  if (stopping_ || runners_ >= std::min(places_.runners(), kMaxRunners)) return;
  absl::StatusOr<Thread> runner = Thread::Start([this] { RunnerLoop(); });
  if (!runner.ok()) return;  // others wait until a runner is free
  threads_.push_back(*std::move(runner));
  ++runners_;
}

void JobManager::Lend(Job& job) {
  if (places_.Lend(job)) AddRunner();
}

void JobManager::TakeBack(Job& job) {
  if (places_.TakeBack(job)) changed_.NotifyAll();
}

void JobManager::SetWantsPlace(Job& job, bool wants) {
  if (places_.SetWanted(job, wants)) changed_.NotifyAll();
}

void JobManager::LendIdle(MonotonicTime now) {
  for (const auto& [sequence, job] : places_.taken()) {
    if (!job->scheduled) continue;
    ActivePlace& place = job->place;
    if (!schedule_.IsIdle(job->record.info.uid)) {
      place.idle_since.reset();
      continue;
    }
    if (!place.idle_since.has_value()) place.idle_since = now;
    if (now - *place.idle_since >= options_.lend_after) Lend(*job);
    // The worker that could have gone on with it may be gone.
    if (now - place.wanted_at > options_.schedule.worker_timeout) SetWantsPlace(*job, false);
  }
}

absl::Status JobManager::AwaitPlace(Job& job) {
  while (job.place.lent && places_.free() <= 0) {
    MERGANSER_RETURN_IF_ERROR(Interruption(job));
    SetWantsPlace(job, true);
    job.trouble = absl::StrCat("waits for a place: ", places_.active(), " active");
    changed_.Wait(mutex_);
  }
  TakeBack(job);
  return Interruption(job);
}

void JobManager::HoldLent() {
  if (places_.lent() == 0) return;
  int free = places_.free();
  for (const auto& [sequence, job] : places_.taken()) {
    if (!job->place.lent || !job->scheduled) continue;
    schedule_.Hold(job->record.info.uid, free <= 0);
    --free;
  }
}

void JobManager::NoteMissed(MonotonicTime now) {
  if (places_.lent() == 0) return;
  for (const auto& [sequence, job] : places_.taken()) {
    if (!job->place.lent || !job->scheduled || !schedule_.TakeMissed(job->record.info.uid))
      continue;
    job->place.wanted_at = now;
    SetWantsPlace(*job, true);
  }
}

JobCounts JobManager::Counts() {
  JobCounts counts;
  const WallTime now = clock_.WallNow();
  counts.jobs = board_.counts();
  counts.oldest_queued =
      std::max<Duration>(Duration::zero(), now - board_.oldest_queued().value_or(now));
  MutexLock lock(mutex_);
  counts.schedule = schedule_.Counts(clock_.Now());
  return counts;
}

}  // namespace merganser
