#include "common/storage/http/retry.h"

#include <algorithm>
#include <chrono>

#include "common/base/backoff.h"

namespace merganser {

bool RetryBudget::Take() {
  MutexLock lock(mutex_);
  if (left_ < kTry) return false;
  left_ -= kTry;
  return true;
}

void RetryBudget::Succeeded() {
  MutexLock lock(mutex_);
  left_ = std::min(capacity_, left_ + kSuccess);
}

Duration JitteredWait(int tries, std::mt19937_64& random) {
  constexpr BackoffLimits kLimits = {std::chrono::milliseconds(100), std::chrono::seconds(20)};
  const Duration most = BackoffAfter(std::max(1, tries), kLimits);
  return Duration(static_cast<Duration::rep>(random() % static_cast<uint64_t>(most.count() + 1)));
}

uint32_t InFlightLimit::Take(uint32_t wanted) {
  MutexLock lock(mutex_);
  while (taken_ >= static_cast<uint32_t>(allowed_)) changed_.Wait(mutex_);
  const uint32_t got = std::min(wanted, static_cast<uint32_t>(allowed_) - taken_);
  taken_ += got;
  return got;
}

void InFlightLimit::GiveBack(uint32_t taken) {
  MutexLock lock(mutex_);
  taken_ -= taken;
  changed_.NotifyAll();
}

void InFlightLimit::SlowDown(MonotonicTime now) {
  // What was in flight together is told together.
  constexpr Duration kTogether = std::chrono::milliseconds(200);
  constexpr double kLess = 0.6;
  MutexLock lock(mutex_);
  if (slowed_ != MonotonicTime() && now - slowed_ < kTogether) return;
  slowed_ = now;
  allowed_ = std::max(1.0, allowed_ * kLess);
}

void InFlightLimit::Succeeded() {
  MutexLock lock(mutex_);
  const auto before = static_cast<uint32_t>(allowed_);
  allowed_ = std::min<double>(most_, allowed_ + 1 / allowed_);
  if (static_cast<uint32_t>(allowed_) != before) changed_.NotifyAll();
}

uint32_t InFlightLimit::allowed() const {
  MutexLock lock(mutex_);
  return static_cast<uint32_t>(allowed_);
}

}  // namespace merganser
