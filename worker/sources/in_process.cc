#include "worker/sources/in_process.h"

#include <set>
#include <utility>

namespace merganser {

InProcessSource::InProcessSource(std::shared_ptr<const JobContext> job,
                                 std::vector<UnitResult> done,
                                 std::function<void(const UnitResult&)> completed)
    : job_(std::move(job)),
      completed_(std::move(completed)),
      rounds_(job_->plan, *job_->methods),
      done_before_(std::move(done)) {
  MutexLock lock(mutex_);
  BeginRound();
}

void InProcessSource::BeginRound() {
  const uint32_t round = rounds_.round();
  std::set<uint32_t> there;
  for (UnitResult& result : done_before_) {
    if (result.round != round || !there.insert(result.unit).second) continue;
    progress_.bytes_done +=
        RoundBytes(job_->plan, job_->plan.units[result.unit], round, *rounds_.gates());
    ++progress_.units_done;
    rounds_.Take(std::move(result));
  }
  todo_.clear();
  for (const uint32_t unit : rounds_.units()) {
    if (!there.contains(unit)) todo_.push_back(unit);
  }
  next_ = done_ = 0;
}

// Between two rounds this waits for the units in flight: their stats decide.
absl::StatusOr<std::optional<LeasedUnit>> InProcessSource::Next() {
  MutexLock lock(mutex_);
  while (true) {
    if (!status_.ok()) return std::nullopt;
    if (next_ < todo_.size()) {
      return LeasedUnit{job_, todo_[next_++], "", rounds_.round(), rounds_.gates()};
    }
    if (rounds_.last()) return std::nullopt;
    if (done_ == todo_.size()) {
      status_ = rounds_.Advance();
      if (status_.ok()) BeginRound();
      continue;
    }
    changed_.Wait(mutex_);
  }
}

bool InProcessSource::Progress(const LeasedUnit& /*unit*/, uint64_t bytes) {
  MutexLock lock(mutex_);
  progress_.bytes_done += bytes;
  return status_.ok();
}

void InProcessSource::Complete(const LeasedUnit& /*unit*/, UnitResult result) {
  if (completed_) completed_(result);
  MutexLock lock(mutex_);
  ++progress_.units_done;
  ++done_;
  rounds_.Take(std::move(result));
  changed_.NotifyAll();
}

void InProcessSource::Fail(const LeasedUnit& /*unit*/, absl::Status status) {
  MutexLock lock(mutex_);
  if (status_.ok()) status_ = std::move(status);
  changed_.NotifyAll();
}

void InProcessSource::Interrupt() {
  MutexLock lock(mutex_);
  if (status_.ok()) status_ = absl::CancelledError("interrupted");
  changed_.NotifyAll();
}

RunProgress InProcessSource::progress() {
  MutexLock lock(mutex_);
  RunProgress progress = progress_;
  progress.round = rounds_.round();
  return progress;
}

absl::StatusOr<std::vector<UnitResult>> InProcessSource::TakeResults() {
  MutexLock lock(mutex_);
  if (!status_.ok()) return status_;
  return rounds_.TakeResults();
}

}  // namespace merganser
