// Bytes over time, in bounded memory: the whole of a job's time, or the last ten minutes. Pure:
// time is a value.
#ifndef MERGANSER_COORDINATOR_ACTIVITY_THROUGHPUT_H_
#define MERGANSER_COORDINATOR_ACTIVITY_THROUGHPUT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/clock.h"

namespace merganser {

struct Moved {
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t units_done = 0;

  Moved& operator+=(const Moved& other) {
    bytes_read += other.bytes_read;
    bytes_written += other.bytes_written;
    units_done += other.units_done;
    return *this;
  }
  bool operator==(const Moved&) const = default;
};

// Bytes a second.
struct Rates {
  double read = 0;
  double written = 0;

  bool operator==(const Rates&) const = default;
};

// Totals at equal steps of time since a beginning. At most kPoints: when they are full every second
// one goes, and the step doubles.
class History {
 public:
  static constexpr size_t kPoints = 600;
  static constexpr Duration kFirstStep = std::chrono::seconds(2);

  explicit History(WallTime begin) : begin_(begin) {}
  // What was kept of an earlier one.
  History(WallTime begin, Duration step, std::vector<Moved> points);

  // The totals at `at`, since the begin by a clock that nobody sets. Steps without a call have the
  // totals of the next one.
  void Note(Duration at, const Moved& totals);
  // The last totals, which stand whatever the step had before.
  void End(Duration at, const Moved& totals);

  WallTime begin() const { return begin_; }
  Duration step() const { return step_; }
  const std::vector<Moved>& points() const { return points_; }

 private:
  WallTime begin_;
  Duration step_ = kFirstStep;
  std::vector<Moved> points_;
};

// What was moved in each of the last sixty stretches of ten seconds.
class RecentRates {
 public:
  static constexpr size_t kSteps = 60;
  static constexpr Duration kStep = std::chrono::seconds(10);
  static constexpr size_t kMinute = 6;  // steps of that

  // Moved until `now`, evenly over the last `took`.
  void Add(MonotonicTime now, Duration took, const Moved& moved);
  // Over the last minute, or as much of it as has passed since the first Add, at least one step.
  Rates LastMinute(MonotonicTime now) const;
  // Oldest first; kSteps of them, up to the stretch that `now` lies in.
  std::vector<Moved> Steps(MonotonicTime now) const;

 private:
  static int64_t StepOf(MonotonicTime time);
  // Moves on to the step that `now` lies in: steps that passed without a call are zero.
  void Advance(int64_t step);

  std::array<Moved, kSteps> steps_ = {};  // step s stands at s % kSteps
  int64_t newest_ = 0;
  int64_t oldest_ = 0;  // first ever
  bool any_ = false;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_ACTIVITY_THROUGHPUT_H_
