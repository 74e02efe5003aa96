#include "worker/sources/in_process.h"

#include <utility>

namespace merganser {

InProcessSource::InProcessSource(std::shared_ptr<const JobContext> job)
    : job_(std::move(job)), rounds_(job_->plan, *job_->methods) {}

// Between two rounds this waits for the units in flight: their stats decide.
absl::StatusOr<std::optional<LeasedUnit>> InProcessSource::Next() {
  MutexLock lock(mutex_);
  while (true) {
    if (!status_.ok()) return std::nullopt;
    if (next_ < rounds_.units().size()) {
      return LeasedUnit{job_, rounds_.units()[next_++], "", rounds_.round(), rounds_.gates()};
    }
    if (rounds_.last()) return std::nullopt;
    if (done_ == rounds_.units().size()) {
      status_ = rounds_.Advance();
      next_ = done_ = 0;
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
