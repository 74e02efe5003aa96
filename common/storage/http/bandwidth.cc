#include "common/storage/http/bandwidth.h"

#include <algorithm>
#include <chrono>

namespace merganser {

Duration BandwidthLimit::Take(uint64_t bytes, MonotonicTime now) {
  if (rate_ == 0 || bytes == 0) return Duration::zero();
  const std::chrono::duration<double> takes(static_cast<double>(bytes) /
                                            static_cast<double>(rate_));
  MutexLock lock(mutex_);
  const MonotonicTime begin = std::max(free_, now);
  free_ = begin + std::chrono::duration_cast<Duration>(takes);
  return begin - now;
}

}  // namespace merganser
