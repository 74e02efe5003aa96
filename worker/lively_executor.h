// An executor that keeps a unit's lease alive, and ends what nobody wants any longer.
#ifndef MERGANSER_WORKER_LIVELY_EXECUTOR_H_
#define MERGANSER_WORKER_LIVELY_EXECUTOR_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>

#include "common/base/clock.h"
#include "common/base/executor.h"
#include "worker/unit_in_flight.h"

namespace merganser {

// Lends the helpers to one segment's computation, and tells that it gets on: an
// iteration over a large matrix comes by here at every step. A hung one does not.
class LivelyExecutor final : public Executor {
 public:
  LivelyExecutor(Executor& executor, UnitInFlight& unit) : executor_(executor), unit_(unit) {}

  bool cancelled() const override { return cancelled_.load(std::memory_order_relaxed); }

  void ParallelFor(size_t count, const std::function<void(size_t)>& block) override {
    const MonotonicTime::rep now = SystemClock().Now().time_since_epoch().count();
    MonotonicTime::rep due = due_.load(std::memory_order_relaxed);
    if (now >= due && due_.compare_exchange_strong(due, now + kPause.count())) {
      if (!unit_.Alive()) cancelled_.store(true, std::memory_order_relaxed);
    }
    executor_.ParallelFor(count, block);
  }

 private:
  static constexpr Duration kPause = std::chrono::seconds(1);

  Executor& executor_;
  UnitInFlight& unit_;
  std::atomic<bool> cancelled_ = false;
  std::atomic<MonotonicTime::rep> due_ = (SystemClock().Now() + kPause).time_since_epoch().count();
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_LIVELY_EXECUTOR_H_
