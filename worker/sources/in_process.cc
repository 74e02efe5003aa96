#include "worker/sources/in_process.h"

#include <utility>

#include "common/base/status.h"

namespace merganser {

InProcessSource::InProcessSource(std::shared_ptr<const JobContext> job,
                                 std::vector<UnitResult> done,
                                 std::function<void(const UnitResult&)> completed)
    : job_(std::move(job)), completed_(std::move(completed)), feed_(job_, std::move(done)) {}

// Between two rounds this waits for the units in flight: their stats decide. So it does at the end
// where pieces may have to be written again.
absl::StatusOr<std::optional<LeasedUnit>> InProcessSource::Next() {
  MutexLock lock(mutex_);
  while (true) {
    if (!status_.ok()) return std::nullopt;
    if (const std::optional<uint32_t> unit = feed_.NextUnit(); unit.has_value()) {
      return LeasedUnit{job_, *unit, "", feed_.round(), feed_.gates()};
    }
    // What is free to write stays as it was written: nothing is left to wait for.
    if (feed_.last() && !job_->output->traits().whole_pieces) return std::nullopt;
    if (feed_.RoundDone()) {
      status_ = feed_.last() ? AtEnd() : feed_.Advance();
      if (ended_) return std::nullopt;
      continue;
    }
    changed_.Wait(mutex_);
  }
}

absl::Status InProcessSource::AtEnd() {
  MERGANSER_ASSIGN_OR_RETURN(const bool again, feed_.RedoLost());
  ended_ = !again;
  return absl::OkStatus();
}

bool InProcessSource::Progress(const LeasedUnit& /*unit*/, uint64_t bytes) {
  MutexLock lock(mutex_);
  feed_.AddBytes(bytes);
  return status_.ok();
}

void InProcessSource::Complete(const LeasedUnit& /*unit*/, UnitResult result) {
  if (completed_) completed_(result);
  MutexLock lock(mutex_);
  feed_.Take(std::move(result));
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
  return feed_.progress();
}

absl::StatusOr<std::vector<UnitResult>> InProcessSource::TakeResults() {
  MutexLock lock(mutex_);
  if (!status_.ok()) return status_;
  return feed_.TakeResults();
}

}  // namespace merganser
