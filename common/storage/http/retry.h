// How often and when what failed is tried again, for a whole process.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_RETRY_H_
#define MERGANSER_COMMON_STORAGE_HTTP_RETRY_H_

#include <cstdint>
#include <random>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace merganser {

// So that a store which fails for all is not asked many times as often: tries again are paid from
// one purse, which successes fill. Thread-safe.
class RetryBudget {
 public:
  // Enough for a hundred failures at once.
  explicit RetryBudget(double capacity = 500) : capacity_(capacity), left_(capacity) {}

  // Whether one more try may be made.
  bool Take() MERGANSER_EXCLUDES(mutex_);
  void Succeeded() MERGANSER_EXCLUDES(mutex_);

 private:
  static constexpr double kTry = 5, kSuccess = 1;
  const double capacity_;
  Mutex mutex_;
  double left_ MERGANSER_GUARDED_BY(mutex_);
};

// The wait before try `tries` + 1 (tries >= 1): anything up to a bound that doubles, so that those
// who failed together do not come back together.
Duration JitteredWait(int tries, std::mt19937_64& random);

// How many requests may be in flight: fewer whenever the store asks for it, more again while it
// does not. Thread-safe.
class InFlightLimit {
 public:
  explicit InFlightLimit(uint32_t most) : most_(most), allowed_(most) {}

  // Waits for at least one place and takes up to `wanted`.
  uint32_t Take(uint32_t wanted) MERGANSER_EXCLUDES(mutex_);
  void GiveBack(uint32_t taken) MERGANSER_EXCLUDES(mutex_);

  // The store said to slow down; of several at once the first counts.
  void SlowDown(MonotonicTime now) MERGANSER_EXCLUDES(mutex_);
  void Succeeded() MERGANSER_EXCLUDES(mutex_);

  uint32_t allowed() const MERGANSER_EXCLUDES(mutex_);

 private:
  const uint32_t most_;
  mutable Mutex mutex_;
  CondVar changed_;
  double allowed_ MERGANSER_GUARDED_BY(mutex_);
  uint32_t taken_ MERGANSER_GUARDED_BY(mutex_) = 0;
  MonotonicTime slowed_ MERGANSER_GUARDED_BY(mutex_) = {};
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_RETRY_H_
