// Makes the bytes of finished units durable, many units by one flush of a file, before anybody is
// told of them: a process elsewhere cannot flush what this machine still holds.
//
// One answer to a flush that fails, for every way of running: the units that it was for fail, and
// so does every unit of the file that had begun by then. A system tells once that it lost what it
// could not store: what such a unit had written may be part of it, and the next flush would not say
// so. What then becomes of the run is for whoever made the batcher.
#ifndef MERGANSER_WORKER_DURABLE_BATCHER_H_
#define MERGANSER_WORKER_DURABLE_BATCHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "worker/unit_source.h"
#include "worker/worker_metrics.h"

namespace merganser {

// A unit whose bytes are with the store.
struct WrittenUnit {
  LeasedUnit unit;
  UnitResult result{};
  bool durable = false;   // it needs no flush
  absl::Status status{};  // set by the batcher: whether the unit is durable
};

// Thread-safe. One thread of its own.
class DurableBatcher {
 public:
  // Told of units in batches, each unit once: of those with an OK status that their bytes are
  // durable, of the others why they may not be. Called without locks, by one thread at a time. It
  // may take what it is given; it must not throw.
  using Settled = std::function<void(std::span<WrittenUnit>)>;

  // Between two batches, and before the first, lies `period` at least unless Hurry is called.
  // What flushing takes is counted in `metrics` (worker_metrics.h; null: nowhere), and told in the
  // units' results.
  DurableBatcher(Duration period, Settled settled,
                 std::shared_ptr<MetricRegistry> metrics = nullptr);
  ~DurableBatcher();  // as Stop; what is left is told to nobody
  DurableBatcher(const DurableBatcher&) = delete;
  DurableBatcher& operator=(const DurableBatcher&) = delete;

  // Where the system refused the thread: nothing is settled but by SettleRest.
  const absl::Status& started() const { return started_; }

  // Of the shard that `unit` of the job lies in: what LeasedUnit::failed_flushes of a unit
  // that begins now is.
  uint64_t FailedFlushes(const JobContext& job, uint32_t unit);

  void Add(WrittenUnit written);

  // What was added is wanted now.
  void Hurry();

  // Ends the thread, once the batch that it is at is settled.
  void Stop();

  // After Stop: settles, on this thread, what is left.
  void SettleRest();

 private:
  // By job and shard.
  using Place = std::pair<std::string, uint32_t>;
  struct Failures {
    uint64_t count = 0;
    absl::Status last;
  };

  void Loop();
  void Settle(std::vector<WrittenUnit>& batch);
  // Flushes the files of `batch`, and says in each unit's status how that went.
  void Flush(std::vector<WrittenUnit>& batch);
  // Of a place: how many flushes failed, and how the last one did.
  Failures FailuresOf(const Place& place) const MERGANSER_REQUIRES(mutex_);

  const Duration period_;
  const Settled settled_;
  const WorkerMetrics metrics_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<WrittenUnit> written_ MERGANSER_GUARDED_BY(mutex_);
  std::map<Place, Failures> failures_ MERGANSER_GUARDED_BY(mutex_);
  // Batches of which memory ran out: it is not known what was flushed, nor how it ended.
  Failures everywhere_ MERGANSER_GUARDED_BY(mutex_);
  bool hurry_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  absl::Status started_;
  Thread thread_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_DURABLE_BATCHER_H_
