#include "common/base/clock.h"

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

}  // namespace merganser
