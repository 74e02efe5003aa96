#include "common/base/clock.h"

#include "absl/time/time.h"

namespace merganser {
namespace {

class MachineClock final : public Clock {
 public:
  MonotonicTime Now() const override {
    return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
  }
  WallTime WallNow() const override {
    return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  }
};

}  // namespace

const Clock& SystemClock() {
  // Never destroyed: threads may ask for the time while the process exits.
  static const Clock* const clock = new MachineClock;
  return *clock;
}

std::string FormatWallTime(WallTime time) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

}  // namespace merganser
