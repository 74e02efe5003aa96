// A unit between its first read and its last write.
#ifndef MERGANSER_WORKER_UNIT_IN_FLIGHT_H_
#define MERGANSER_WORKER_UNIT_IN_FLIGHT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/engine/rounds.h"
#include "common/engine/unit_result.h"
#include "worker/open_scales.h"
#include "worker/piece_assembler.h"
#include "worker/segment_compute.h"
#include "worker/unit_source.h"
#include "worker/worker_metrics.h"

namespace merganser {

// `source` and `metrics` outlive it. Thread-safe: its segments are at several stages at once.
class UnitInFlight {
 public:
  UnitInFlight(const LeasedUnit& leased, UnitSource& source, const std::string& worker,
               const WorkerMetrics& metrics);
  ~UnitInFlight() { metrics_.UnitEnded(end_, took_); }
  UnitInFlight(const UnitInFlight&) = delete;
  UnitInFlight& operator=(const UnitInFlight&) = delete;

  const JobContext& job() const { return *leased_.job; }
  const LeasedUnit& leased() const { return leased_; }
  const Unit& unit() const { return leased_.job->plan.units[leased_.unit]; }
  // The round writes; else it analyzes.
  bool writes() const { return IsLastRound(job().plan, leased_.round); }
  // The segments that take part in the round.
  size_t parts() const { return parts_.size(); }
  uint32_t segment_index(size_t part) const { return parts_[part].segment; }
  const Segment& segment(size_t part) const { return unit().segments[parts_[part].segment]; }
  uint64_t offset(size_t part) const { return parts_[part].offset; }
  // What is computed of the segment is encoded before it is written.
  bool encodes(size_t part) const {
    const Segment& of = segment(part);
    return writes() && !of.header && job().plan.tensors[of.tensor].encoding.has_value();
  }

  // What goes to the output goes through it. In rounds that write.
  PieceAssembler& pieces() { return *pieces_; }
  const PieceAssembler& pieces() const { return *pieces_; }

  // Those of tensors that are encoded. In rounds that write.
  OpenScales& scales() { return scales_; }
  // The part that is the scales of `tensor`, which has some in this unit.
  size_t ScalesPart(uint32_t tensor) const;

  bool dropped() {
    MutexLock lock(mutex_);
    return dropped_;
  }

  // The unit's remaining segments are not worth their work any more.
  void Drop() {
    MutexLock lock(mutex_);
    dropped_ = true;
  }

  // Tells the source that the unit gets on. False when it is not worth further
  // work.
  bool Alive();

  // An error where the source cannot be told. One that finds no memory may find some a
  // little later: units that fail give theirs back.
  absl::Status Fail(const absl::Status& status);

  // `digest` of what was written: the output, or the keepsakes.
  void PartDone(size_t part, std::string digest, SegmentFindings findings,
                const StageSeconds& stages);

 private:
  struct Part {
    uint32_t segment;
    uint64_t offset;  // in the output shard
  };

  // In the order of the segments, however they were finished.
  void Gather() MERGANSER_REQUIRES(mutex_);

  LeasedUnit leased_;
  UnitSource& source_;
  const WorkerMetrics& metrics_;
  const MonotonicTime started_;
  std::vector<Part> parts_;
  std::optional<PieceAssembler> pieces_;
  OpenScales scales_;
  Mutex mutex_;
  UnitResult result_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<SegmentFindings> findings_ MERGANSER_GUARDED_BY(mutex_);
  size_t left_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool dropped_ MERGANSER_GUARDED_BY(mutex_) = false;
  // Written under the mutex, read when no thread has the unit any more.
  UnitEnd end_ = UnitEnd::kDropped;
  Duration took_{};
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_UNIT_IN_FLIGHT_H_
