#include "worker/sources/in_process.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace merganser {

InProcessSource::InProcessSource(std::shared_ptr<const JobContext> job) : job_(std::move(job)) {
  MutexLock lock(mutex_);
  results_.resize(job_->plan.units.size());
}

absl::StatusOr<std::optional<LeasedUnit>> InProcessSource::Next() {
  MutexLock lock(mutex_);
  if (!status_.ok() || next_ == job_->plan.units.size()) return std::nullopt;
  return LeasedUnit{job_, next_++, ""};
}

bool InProcessSource::Progress(const LeasedUnit& /*unit*/, uint64_t bytes) {
  MutexLock lock(mutex_);
  progress_.bytes_written += bytes;
  return status_.ok();
}

void InProcessSource::Complete(const LeasedUnit& unit, UnitResult result) {
  MutexLock lock(mutex_);
  ++progress_.units_done;
  results_[unit.unit] = std::move(result);
}

void InProcessSource::Fail(const LeasedUnit& /*unit*/, absl::Status status) {
  MutexLock lock(mutex_);
  if (status_.ok()) status_ = std::move(status);
}

void InProcessSource::Interrupt() {
  MutexLock lock(mutex_);
  if (status_.ok()) status_ = absl::CancelledError("interrupted");
}

RunProgress InProcessSource::progress() {
  MutexLock lock(mutex_);
  return progress_;
}

absl::StatusOr<std::vector<UnitResult>> InProcessSource::TakeResults() {
  MutexLock lock(mutex_);
  if (!status_.ok()) return status_;
  if (progress_.units_done != results_.size()) {
    return absl::InternalError(absl::StrCat("the run ended with ", progress_.units_done, " of ",
                                            results_.size(), " units"));
  }
  return std::move(results_);
}

}  // namespace merganser
