// Makes the bytes of finished units durable, several units at once, before anybody
// is told of them: a process elsewhere cannot flush what this machine still holds.
#ifndef MERGANSER_WORKER_RESULT_FLUSHER_H_
#define MERGANSER_WORKER_RESULT_FLUSHER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "worker/unit_source.h"

namespace merganser {

// Thread-safe. One thread of its own.
class ResultFlusher {
 public:
  // `durable` is called with results whose bytes are durable, `failed`, once, with
  // the first error, be it that no thread can be had; from the flusher's thread, from
  // Add's or from the constructor, without locks. After an error nothing is kept.
  // Between two flushes lies `period` at least, unless Hurry is called.
  ResultFlusher(std::shared_ptr<const JobContext> job, Duration period,
                std::function<void(std::vector<UnitResult>)> durable,
                std::function<void(absl::Status)> failed);
  ~ResultFlusher();
  ResultFlusher(const ResultFlusher&) = delete;
  ResultFlusher& operator=(const ResultFlusher&) = delete;

  void Add(UnitResult result);

  // What was added is wanted now.
  void Hurry();

  // Results that are kept for a flush.
  size_t pending();

  // Ends the thread; with `keep` after what was added is durable.
  void Finish(bool keep);

 private:
  void Loop();
  absl::Status Flush(std::vector<UnitResult> batch);
  void FailWith(absl::Status status);

  const std::shared_ptr<const JobContext> job_;
  const Duration period_;
  const std::function<void(std::vector<UnitResult>)> durable_;
  const std::function<void(absl::Status)> failed_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<UnitResult> written_ MERGANSER_GUARDED_BY(mutex_);  // not durable yet
  bool hurry_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool broken_ MERGANSER_GUARDED_BY(mutex_) = false;  // `failed` was called
  Thread thread_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_RESULT_FLUSHER_H_
