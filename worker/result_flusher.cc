#include "worker/result_flusher.h"

#include <utility>

#include "common/engine/rounds.h"

namespace merganser {

ResultFlusher::ResultFlusher(std::shared_ptr<const JobContext> job, Duration period,
                             std::function<void(std::vector<UnitResult>)> durable,
                             std::function<void(absl::Status)> failed)
    : job_(std::move(job)),
      period_(period),
      durable_(std::move(durable)),
      failed_(std::move(failed)),
      thread_([this] { Loop(); }) {}

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
  written_.push_back(std::move(result));
  changed_.NotifyAll();
}

void ResultFlusher::Hurry() {
  MutexLock lock(mutex_);
  hurry_ = true;
  changed_.NotifyAll();
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
    const absl::Status status = FlushUnits(*job_, batch);
    next = SystemClock().Now() + period_;
    if (!status.ok()) {
      failed_(status);
      return;
    }
    durable_(std::move(batch));
  }
}

void ResultFlusher::Finish(bool keep) {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (!keep) written_.clear();
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace merganser
