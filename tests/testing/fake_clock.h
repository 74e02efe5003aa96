// A clock that stands still until a test moves it.
#ifndef MERGANSER_TESTS_TESTING_FAKE_CLOCK_H_
#define MERGANSER_TESTS_TESTING_FAKE_CLOCK_H_

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace merganser {

// Thread-safe. Both clocks start at fixed points, so that what a test prints is
// the same in every run.
class FakeClock final : public Clock {
 public:
  MonotonicTime Now() const override {
    MutexLock lock(mutex_);
    return now_;
  }
  WallTime WallNow() const override {
    MutexLock lock(mutex_);
    return wall_;
  }

  // Moves both clocks.
  void Advance(Duration by) {
    MutexLock lock(mutex_);
    now_ += by;
    wall_ += by;
  }
  // Sets the wall clock alone, also backwards, as an administrator might.
  void SetWall(WallTime wall) {
    MutexLock lock(mutex_);
    wall_ = wall;
  }

 private:
  mutable Mutex mutex_;
  MonotonicTime now_ MERGANSER_GUARDED_BY(mutex_){std::chrono::hours(1)};
  WallTime wall_ MERGANSER_GUARDED_BY(mutex_){std::chrono::seconds(1'700'000'000)};
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_FAKE_CLOCK_H_
