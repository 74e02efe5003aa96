// Keeps a run's progress log: collects finished units, makes their bytes durable
// in batches, and puts them on record.
#ifndef MERGANSER_WORKER_PROGRESS_KEEPER_H_
#define MERGANSER_WORKER_PROGRESS_KEEPER_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/engine/progress_log.h"
#include "worker/unit_source.h"

namespace merganser {

// Thread-safe. One thread of its own.
class ProgressKeeper {
 public:
  // A batch is put down every `period`. `failed` is called, once, with the first
  // error: what is written from then on may not be durable, so the run should end. Where no
  // thread can be had that is the error, and `failed` is called from here.
  ProgressKeeper(std::shared_ptr<const JobContext> job, ProgressLog log, Duration period,
                 std::function<void(absl::Status)> failed);
  ~ProgressKeeper();
  ProgressKeeper(const ProgressKeeper&) = delete;
  ProgressKeeper& operator=(const ProgressKeeper&) = delete;

  void Add(UnitResult result);

  // Ends the thread. With `keep`, and if anything is on record already, what was
  // added since is put on record too. True if this run, or one that it went on
  // from, has something on record.
  bool Finish(bool keep);

  // After Finish: the first error. Bytes that were to be durable then may be lost
  // without storage saying so again (it tells a failed flush once): what this run
  // wrote must not be published.
  absl::Status status();

  // Says that a run before this one has units on record.
  void NoteEarlier();

 private:
  void Loop();
  absl::Status Record(const std::vector<UnitResult>& batch);

  const std::shared_ptr<const JobContext> job_;
  const Duration period_;
  const std::function<void(absl::Status)> failed_;
  Mutex mutex_;
  CondVar changed_;
  ProgressLog log_;  // of the thread, then of Finish
  std::vector<UnitResult> pending_ MERGANSER_GUARDED_BY(mutex_);
  bool recorded_ MERGANSER_GUARDED_BY(mutex_) = false;
  absl::Status failure_ MERGANSER_GUARDED_BY(mutex_);
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  Thread thread_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_PROGRESS_KEEPER_H_
