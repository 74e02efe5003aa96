// Makes the bytes of finished units durable, several units at once, before anybody
// is told of them: a process elsewhere cannot flush what this machine still holds.
#ifndef MERGANSER_WORKER_RESULT_FLUSHER_H_
#define MERGANSER_WORKER_RESULT_FLUSHER_H_

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "worker/unit_source.h"

namespace merganser {

// Thread-safe. One thread of its own.
class ResultFlusher {
 public:
  // `durable` is called with results whose bytes are durable, `failed`, once, with
  // the first error; from the flusher's thread or from Add's, without locks.
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

  // Ends the thread; with `keep` after what was added is durable.
  void Finish(bool keep);

 private:
  void Loop();

  const std::shared_ptr<const JobContext> job_;
  const Duration period_;
  const std::function<void(std::vector<UnitResult>)> durable_;
  const std::function<void(absl::Status)> failed_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<UnitResult> written_ MERGANSER_GUARDED_BY(mutex_);  // not durable yet
  bool hurry_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_RESULT_FLUSHER_H_
