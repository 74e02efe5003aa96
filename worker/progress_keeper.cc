#include "worker/progress_keeper.h"

#include <utility>

#include "common/base/guarded.h"
#include "common/base/status.h"

namespace merganser {

ProgressKeeper::ProgressKeeper(std::shared_ptr<const JobContext> job, ProgressLog log,
                               Duration period, std::function<void(absl::Status)> failed)
    : job_(std::move(job)), period_(period), failed_(std::move(failed)), log_(std::move(log)) {
  absl::StatusOr<Thread> thread = Thread::Start([this] { Loop(); });
  if (thread.ok()) {
    thread_ = *std::move(thread);
    return;
  }
  {
    MutexLock lock(mutex_);
    failure_ = thread.status();
  }
  failed_(thread.status());
}

ProgressKeeper::~ProgressKeeper() { (void)Finish(/*keep=*/false); }

void ProgressKeeper::Add(UnitResult result) {
  MutexLock lock(mutex_);
  if (failure_.ok()) pending_.push_back(std::move(result));
}

void ProgressKeeper::NoteEarlier() {
  MutexLock lock(mutex_);
  recorded_ = true;
}

// Durable first, on record second: a record never tells of bytes that a crash of
// this machine could take away.
absl::Status ProgressKeeper::Record(const std::vector<UnitResult>& batch) {
  MERGANSER_RETURN_IF_ERROR(FlushUnits(*job_, batch));
  return log_.Append(batch);
}

void ProgressKeeper::Loop() {
  MonotonicTime next = SystemClock().Now() + period_;
  while (true) {
    std::vector<UnitResult> batch;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && SystemClock().Now() < next) {
        changed_.WaitFor(mutex_, next - SystemClock().Now());
      }
      if (stopping_) return;
      next = SystemClock().Now() + period_;
      batch.swap(pending_);
    }
    if (batch.empty()) continue;
    const absl::Status status = Guarded([&] { return Record(batch); });
    {
      MutexLock lock(mutex_);
      if (status.ok()) {
        recorded_ = true;
        continue;
      }
      failure_ = status;
      pending_.clear();
    }
    failed_(status);
    return;
  }
}

bool ProgressKeeper::Finish(bool keep) {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.Join().IgnoreError();
  std::vector<UnitResult> rest;
  {
    MutexLock lock(mutex_);
    if (!keep || !recorded_) return recorded_;
    rest.swap(pending_);
  }
  if (rest.empty()) return true;
  const absl::Status status = Guarded([&] { return Record(rest); });
  MutexLock lock(mutex_);
  if (failure_.ok()) failure_ = status;
  return true;
}

absl::Status ProgressKeeper::status() {
  MutexLock lock(mutex_);
  return failure_;
}

}  // namespace merganser
