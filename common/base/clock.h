// Time as an argument: whatever waits or expires takes a Clock, so that a test
// moves time itself.
#ifndef MERGANSER_COMMON_BASE_CLOCK_H_
#define MERGANSER_COMMON_BASE_CLOCK_H_

#include <chrono>
#include <string>

namespace merganser {

using Duration = std::chrono::nanoseconds;
// A point on a monotonic clock; meaningless outside the process that read it.
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// A point on the wall clock, for people: reports, logs, resource timestamps.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Now() const = 0;
  virtual WallTime WallNow() const = 0;
};

// The machine's clocks.
const Clock& SystemClock();

// RFC 3339 in UTC, whole seconds, rounded down: "2026-01-31T23:59:59Z".
std::string FormatWallTime(WallTime time);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_CLOCK_H_
