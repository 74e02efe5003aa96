#include "worker/result_flusher.h"

#include <utility>

#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"

namespace merganser {

ResultFlusher::ResultFlusher(std::shared_ptr<const JobContext> job, Duration period,
                             std::function<void(std::vector<UnitResult>)> durable,
                             std::function<void(absl::Status)> failed)
    : job_(std::move(job)),
      period_(period),
      durable_(std::move(durable)),
      failed_(std::move(failed)) {
  absl::StatusOr<Thread> thread = Thread::Start([this] { Loop(); });
  if (thread.ok()) {
    thread_ = *std::move(thread);
  } else {
    FailWith(thread.status());
  }
}

ResultFlusher::~ResultFlusher() { Finish(/*keep=*/false); }

void ResultFlusher::Add(UnitResult result) {
  if (!IsLastRound(job_->plan, result.round)) {
    // What analysis keeps is durable already.
    std::vector<UnitResult> one;
    one.push_back(std::move(result));
    durable_(std::move(one));
    return;
  }
  MutexLock lock(mutex_);
  if (broken_) return;
  written_.push_back(std::move(result));
  changed_.NotifyAll();
}

void ResultFlusher::Hurry() {
  MutexLock lock(mutex_);
  hurry_ = true;
  changed_.NotifyAll();
}

size_t ResultFlusher::pending() {
  MutexLock lock(mutex_);
  return written_.size();
}

absl::Status ResultFlusher::Flush(std::vector<UnitResult> batch) {
  MERGANSER_RETURN_IF_ERROR(FlushUnits(*job_, batch));
  durable_(std::move(batch));
  return absl::OkStatus();
}

void ResultFlusher::FailWith(absl::Status status) {
  {
    MutexLock lock(mutex_);
    broken_ = true;
    written_.clear();
  }
  failed_(std::move(status));
}

void ResultFlusher::Loop() {
  MonotonicTime next = SystemClock().Now() + period_;
  while (true) {
    std::vector<UnitResult> batch;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && (written_.empty() || (!hurry_ && SystemClock().Now() < next))) {
        if (written_.empty()) {
          changed_.Wait(mutex_);
        } else {
          changed_.WaitFor(mutex_, next - SystemClock().Now());
        }
      }
      if (written_.empty()) return;
      batch.swap(written_);
      hurry_ = false;
    }
    absl::Status status = Guarded([&] { return Flush(std::move(batch)); });
    next = SystemClock().Now() + period_;
    if (!status.ok()) return FailWith(std::move(status));
  }
}

void ResultFlusher::Finish(bool keep) {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (!keep) written_.clear();
    changed_.NotifyAll();
  }
  thread_.Join().IgnoreError();
}

}  // namespace merganser
