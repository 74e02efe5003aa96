// Where a run begins: the units of a source, segment by segment, each with the memory that it
// needs.
//
// Memory is taken for a whole segment (inputs, output, workspace), or a run of them, before it is
// read and given back when it is written, so no stage ever waits for memory while it holds some:
// there is nothing to deadlock on. Where the store wants whole pieces, one that spans segments has
// a buffer, taken before its first segment's memory: at most one is open when a segment waits, and
// Unit::memory holds room for it and the next.
#ifndef MERGANSER_WORKER_SEGMENT_FEED_H_
#define MERGANSER_WORKER_SEGMENT_FEED_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "worker/buffer_pool.h"
#include "worker/segment_in_flight.h"
#include "worker/segment_io.h"
#include "worker/unit_in_flight.h"
#include "worker/unit_runner.h"
#include "worker/unit_source.h"
#include "worker/worker_metrics.h"

namespace merganser {

// All that it is made of outlives it. Thread-safe.
class SegmentFeed {
 public:
  // `begin` is called with the job of every unit, one at a time, before the unit's first segment.
  SegmentFeed(UnitSource& source, const RunnerOptions& options, const WorkerMetrics& metrics,
              BufferPool& buffers, std::function<void(const JobContext&)> begin);

  // The next segments with memory to hold them; nullopt at the end. Threads take turns: memory goes
  // to segments in the order of their units. A unit that cannot go on is failed, and the next one
  // is taken.
  std::optional<SegmentsInFlight> Next() MERGANSER_EXCLUDES(mutex_);

  // Fails the unit where `status` is an error. A unit whose source cannot be told ends the run.
  void Settle(UnitInFlight& unit, const absl::Status& status) MERGANSER_EXCLUDES(mutex_);

  // The error that ended the run, if it was one.
  absl::Status status() MERGANSER_EXCLUDES(mutex_);

 private:
  void EndWith(absl::Status status) MERGANSER_REQUIRES(mutex_);
  // Makes the source's next unit the current one; false when there is none.
  bool TakeUnit() MERGANSER_REQUIRES(mutex_);
  void Fail(UnitInFlight& unit, const absl::Status& status) MERGANSER_REQUIRES(mutex_);
  absl::Status CheckMemory(const UnitInFlight& unit) const;

  // Takes the next segments of the current unit, and memory for them.
  absl::Status TakeRun(SegmentsInFlight& run) MERGANSER_REQUIRES(mutex_);
  // Scales are read by nobody: they are written when all values of their tensor are encoded, and
  // the buffer of their piece is there.
  absl::Status TakeScales(SegmentsInFlight& run) MERGANSER_REQUIRES(mutex_);
  // Before the first values of a tensor that has scales: a place for these.
  absl::Status OpenScalesOf(UnitInFlight& unit, size_t part) MERGANSER_REQUIRES(mutex_);
  absl::Status TakePieceBuffer(UnitInFlight& unit, size_t part) MERGANSER_REQUIRES(mutex_);
  // Whether the current unit's next segment is read with these, which come before it. Never where
  // its piece has a buffer to be taken before, nor where memory could not hold them beside one.
  bool JoinsNext(SegmentRun segments) const MERGANSER_REQUIRES(mutex_);
  absl::StatusOr<Buffer> Take(const UnitInFlight& unit, uint64_t bytes, uint64_t reserved);

  UnitSource& source_;
  const RunnerOptions& options_;
  const WorkerMetrics& metrics_;
  BufferPool& buffers_;
  const std::function<void(const JobContext&)> begin_;

  Mutex mutex_;
  std::shared_ptr<UnitInFlight> current_ MERGANSER_GUARDED_BY(mutex_);
  size_t next_ MERGANSER_GUARDED_BY(mutex_) = 0;  // part of it
  bool ended_ MERGANSER_GUARDED_BY(mutex_) = false;
  absl::Status status_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SEGMENT_FEED_H_
