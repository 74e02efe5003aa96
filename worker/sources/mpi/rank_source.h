// Units of one rank of an MPI run, between the runner's threads and the one that
// communicates.
#ifndef MERGANSER_WORKER_SOURCES_MPI_RANK_SOURCE_H_
#define MERGANSER_WORKER_SOURCES_MPI_RANK_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "worker/durable_batcher.h"
#include "worker/unit_source.h"

namespace merganser {

// What happened since the last look.
struct RankEvents {
  uint32_t taken = 0;               // units that the runner took from the queue
  uint64_t bytes = 0;               // moved
  std::vector<UnitResult> results;  // durable
  absl::Status failure;             // the first, once
  bool ended = false;               // the runner returned; nothing follows
};

// Thread-safe.
class RankSource final : public UnitSource {
 public:
  // `metrics` as DurableBatcher has it.
  RankSource(std::shared_ptr<const JobContext> job, Duration flush_period,
             std::shared_ptr<MetricRegistry> metrics = nullptr);

  // --- For the runner.
  absl::StatusOr<std::optional<LeasedUnit>> Next() override;
  bool Progress(const LeasedUnit& unit, uint64_t bytes) override;
  void Complete(const LeasedUnit& unit, UnitResult result) override;
  void Fail(const LeasedUnit& unit, absl::Status status) override;
  // The runner returned `status`. Waits until what it wrote is durable.
  void End(absl::Status status);

  // --- For the thread that communicates.
  void Give(uint32_t round, const std::shared_ptr<const Gates>& gates,
            const std::vector<uint32_t>& units);
  // There will be no more units.
  void Close();
  // Units in flight are of no more use.
  void Drop();
  RankEvents TakeEvents();
  // Returns when there is something to tell, but for moved bytes, or after
  // `timeout`.
  void Wait(Duration timeout);

 private:
  void TakeSettled(std::span<WrittenUnit> batch);
  void Tell(UnitResult result) MERGANSER_REQUIRES(mutex_);
  // A unit that was given came to its end.
  void EndUnit();
  void FailWith(absl::Status status);

  const std::shared_ptr<const JobContext> job_;
  Mutex mutex_;
  CondVar changed_;  // for the runner
  CondVar news_;     // for the thread that communicates
  std::deque<LeasedUnit> queue_ MERGANSER_GUARDED_BY(mutex_);
  size_t held_ MERGANSER_GUARDED_BY(mutex_) = 0;  // given, and not ended
  bool closed_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool dropped_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool failed_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool has_news_ MERGANSER_GUARDED_BY(mutex_) = false;
  RankEvents events_ MERGANSER_GUARDED_BY(mutex_);
  DurableBatcher batcher_;  // last: its thread calls this
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_MPI_RANK_SOURCE_H_
