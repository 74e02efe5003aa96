// The queue, and the places of the jobs that are active.
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "coordinator/service/job_manager.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

constexpr std::chrono::seconds kRetryQueue(15);

}  // namespace

void JobManager::RunnerLoop() {
  while (true) {
    JobPtr job;
    {
      MutexLock lock(mutex_);
      // Jobs that lent their places go on first.
      while (!stopping_ && (queue_.empty() || active() + wanted_places_ >= options_.active_jobs)) {
        changed_.Wait(mutex_);
      }
      if (stopping_) return;
      // The highest priority, and among those the first come (as QueueText has it).
      const auto next =
          std::max_element(queue_.begin(), queue_.end(), [](const JobPtr& a, const JobPtr& b) {
            return a->record.info.request.priority < b->record.info.request.priority;
          });
      job = *next;
      const absl::Status taken = Guarded([&] {
        mutex_.AssertHeld();
        job->activity.emplace(clock_.Now(), clock_.WallNow());
        taken_.emplace(job->record.sequence, job);
      });
      if (!taken.ok()) {  // no memory: it stays where it is for a while
        Pause().IgnoreError();
        continue;
      }
      queue_.erase(next);
      ++queue_moves_;
    }
    Run(job);
    MutexLock lock(mutex_);
    TakeBack(*job);
    taken_.erase(job->record.sequence);
    job->measured_plan.reset();
    job->measured = {};
    ++queue_moves_;
    if (jobs_.contains(job->record.info.uid)) Show(*job);
    changed_.NotifyAll();
  }
}

void JobManager::AddRunner() {
  if (stopping_ || runners_ >= std::min(options_.active_jobs + lent_places_, kMaxRunners)) return;
  absl::StatusOr<Thread> runner = Thread::Start([this] { RunnerLoop(); });
  if (!runner.ok()) return;  // others wait until a runner is free
  threads_.push_back(*std::move(runner));
  ++runners_;
}

void JobManager::Lend(Job& job) {
  if (job.lent) return;
  job.lent = true;
  ++lent_places_;
  ++queue_moves_;
  AddRunner();
}

void JobManager::TakeBack(Job& job) {
  job.idle_since.reset();
  SetWantsPlace(job, false);
  if (!job.lent) return;
  job.lent = false;
  --lent_places_;
  ++queue_moves_;
}

void JobManager::LendIdle(MonotonicTime now) {
  for (const auto& [sequence, job] : taken_) {
    if (!job->scheduled) continue;
    if (!schedule_.IsIdle(job->record.info.uid)) {
      job->idle_since.reset();
      continue;
    }
    if (!job->idle_since.has_value()) job->idle_since = now;
    if (now - *job->idle_since >= options_.lend_after) Lend(*job);
    // The worker that could have gone on with it may be gone.
    if (now - job->wanted_at > options_.schedule.worker_timeout) SetWantsPlace(*job, false);
  }
}

void JobManager::SetWantsPlace(Job& job, bool wants) {
  if (job.wants_place == wants) return;
  job.wants_place = wants;
  wanted_places_ += wants ? 1 : -1;
  changed_.NotifyAll();
}

absl::Status JobManager::AwaitPlace(Job& job) {
  while (job.lent && active() >= options_.active_jobs) {
    MERGANSER_RETURN_IF_ERROR(Interruption(job));
    SetWantsPlace(job, true);
    job.trouble = absl::StrCat("waits for a place: ", active(), " active");
    changed_.Wait(mutex_);
  }
  TakeBack(job);
  return Interruption(job);
}

void JobManager::HoldLent() {
  if (lent_places_ == 0) return;
  int free = options_.active_jobs - active();
  for (const auto& [sequence, job] : taken_) {
    if (!job->lent || !job->scheduled) continue;
    schedule_.Hold(job->record.info.uid, free <= 0);
    --free;
  }
}

void JobManager::NoteMissed(MonotonicTime now) {
  if (lent_places_ == 0) return;
  for (const auto& [sequence, job] : taken_) {
    if (!job->lent || !job->scheduled || !schedule_.TakeMissed(job->record.info.uid)) continue;
    job->wanted_at = now;
    SetWantsPlace(*job, true);
  }
}

absl::Status JobManager::CheckQueue(const std::string& owner) const {
  const auto own =
      static_cast<size_t>(std::count_if(queue_.begin(), queue_.end(), [&](const JobPtr& job) {
        return job->record.info.owner == owner;
      }));
  const size_t places = options_.queued_jobs - std::min(queue_.size(), options_.queued_jobs);
  if (own < places) return absl::OkStatus();
  return RetryAfter(
      ReasonedError(absl::StatusCode::kResourceExhausted, "TOO_MANY_JOBS",
                    absl::StrCat("found ", queue_.size(), " jobs in the queue, ", own, " of ",
                                 owner, ", and room for ", places,
                                 ", expected fewer of one owner than there is room for; try again "
                                 "later"),
                    {{"limit", absl::StrCat(options_.queued_jobs)}}),
      kRetryQueue);
}

std::string JobManager::QueueText(const Job& job) const {
  size_t before = 0;
  bool found = false;
  const int32_t priority = job.record.info.request.priority;
  for (const JobPtr& other : queue_) {
    if (other.get() == &job) {
      found = true;
      continue;
    }
    const int32_t its = other->record.info.request.priority;
    if (its > priority || (its == priority && !found)) ++before;
  }
  if (!found) return "";
  std::string text = absl::StrCat("queued: ", before, before == 1 ? " job" : " jobs",
                                  " before it, ", active(), " active");
  if (lent_places_ > 0) absl::StrAppend(&text, ", ", lent_places_, " that wait");
  return text;
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
