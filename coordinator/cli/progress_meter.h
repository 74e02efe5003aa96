// Rates and time left, from samples of how far a merge is. Pure: time is an argument.
#ifndef MERGANSER_COORDINATOR_CLI_PROGRESS_METER_H_
#define MERGANSER_COORDINATOR_CLI_PROGRESS_METER_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "common/base/clock.h"

namespace merganser::cli {

struct ProgressSample {
  std::string phase;  // "planning", "round 1 of 2", "publishing"
  // Whether bytes move in this phase, so that a rate and the time left mean something.
  bool moves = true;
  uint64_t bytes_done = 0;  // analyzed or written, of all rounds
  uint64_t bytes_total = 0;
  uint64_t units_done = 0;
  uint64_t units_total = 0;
  std::optional<uint32_t> workers;
  std::string waits;  // what it waits for; usually empty
  // What whoever does the merge says of its pace. As far as it says something that is shown, so
  // that a watch tells what everybody is told, and nothing is reckoned here.
  struct Pace {
    double read = 0, written = 0;  // bytes a second
    std::optional<double> seconds_left;
    std::string diagnosis;  // a sentence, or empty
  };
  std::optional<Pace> pace;
};

// Not thread-safe.
class ProgressMeter {
 public:
  // A rate is that of the last 10 s; the time left follows the last 30 s, so that it is calm, and
  // is not known in the first 10 s of moving or before 3 units ended. It is new every 2 s.
  void Add(const ProgressSample& sample, MonotonicTime now);

  // Bytes a second; nullopt where nothing can be said yet.
  std::optional<double> rate() const;
  std::optional<double> seconds_left() const {
    return sample_.pace.has_value() && sample_.pace->seconds_left.has_value()
               ? sample_.pace->seconds_left
               : left_;
  }
  const ProgressSample& sample() const { return sample_; }

  // With a pace "reads 388 MiB/s, writes 97.1 MiB/s" and its sentence at the end. Else
  // "round 1 of 2: 388 MiB/s, about 65 s left, 4.50 GiB of 17.2 GiB (26 %), unit 41 of 160, 3
  // workers"; of a phase in which nothing moves its name, and what it waits for.
  std::string Line() const;

 private:
  struct Point {
    MonotonicTime time;
    uint64_t bytes = 0;
  };
  std::optional<double> RateOver(Duration window) const;

  ProgressSample sample_;
  std::deque<Point> points_;  // the oldest first; of this phase of moving
  std::optional<MonotonicTime> moving_since_;
  uint64_t units_before_ = 0;
  std::optional<double> left_;
  MonotonicTime left_at_{};
};

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_PROGRESS_METER_H_
