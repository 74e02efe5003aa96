// Keeps a run's progress log: collects finished units, makes their bytes durable
// in batches, and puts them on record.
#ifndef MERGANSER_WORKER_PROGRESS_KEEPER_H_
#define MERGANSER_WORKER_PROGRESS_KEEPER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/engine/progress_log.h"
#include "worker/durable_batcher.h"
#include "worker/unit_source.h"

namespace merganser {

// Thread-safe. One thread of its own.
class ProgressKeeper {
 public:
  struct Options {
    Duration period{};               // a batch is put down every so often
    bool told_when_durable = false;  // whoever adds a unit has made its bytes durable
    bool earlier = false;            // a run before this one has units on record
    std::shared_ptr<MetricRegistry> metrics = nullptr;  // as DurableBatcher has it
  };

  // `failed` is called, once and before Finish, with the first error: what is written from then on
  // may not be durable, so the run should end. Where no thread can be had that is the error, and
  // `failed` is called from here.
  ProgressKeeper(std::shared_ptr<const JobContext> job, ProgressLog log, const Options& options,
                 std::function<void(absl::Status)> failed);
  ~ProgressKeeper();
  ProgressKeeper(const ProgressKeeper&) = delete;
  ProgressKeeper& operator=(const ProgressKeeper&) = delete;

  void Add(UnitResult result);

  // Ends the thread. With `keep`, and if anything is on record already, what was
  // added since is put on record too. True if this run, or one that it went on
  // from, has something on record.
  bool Finish(bool keep);

  // After Finish: adds what making them durable took, which was not known when they were added, to
  // those of `results` that this run did.
  void AddFlushTimes(std::vector<UnitResult>& results);

  // After Finish: the first error. Bytes that were to be durable then may be lost
  // without storage saying so again (it tells a failed flush once): what this run
  // wrote must not be published.
  absl::Status status();

 private:
  // Durable first, on record second: a record never tells of bytes that a crash of this machine
  // could take away.
  void Record(std::span<WrittenUnit> batch);
  absl::Status RecordBatch(std::span<WrittenUnit> batch);

  const std::shared_ptr<const JobContext> job_;
  const bool told_when_durable_;
  const std::function<void(absl::Status)> failed_;
  ProgressLog log_;  // of whoever settles a batch
  Mutex mutex_;
  bool recorded_ MERGANSER_GUARDED_BY(mutex_);
  bool finishing_ MERGANSER_GUARDED_BY(mutex_) = false;
  absl::Status failure_ MERGANSER_GUARDED_BY(mutex_);
  std::map<uint32_t, double> flush_seconds_ MERGANSER_GUARDED_BY(mutex_);  // by unit
  DurableBatcher batcher_;  // last: its thread calls this
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_PROGRESS_KEEPER_H_
