// How many bytes a process moves in a second, at most.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_BANDWIDTH_H_
#define MERGANSER_COMMON_STORAGE_HTTP_BANDWIDTH_H_

#include <cstdint>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace merganser {

// Who wants to move bytes asks for a turn; turns come as fast as the limit lets them. Thread-safe.
class BandwidthLimit {
 public:
  // 0: no limit.
  explicit BandwidthLimit(uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  // How long to wait, from `now` on, before `bytes` are moved. Turns that nobody took are not kept.
  Duration Take(uint64_t bytes, MonotonicTime now) MERGANSER_EXCLUDES(mutex_);

 private:
  const uint64_t rate_;
  Mutex mutex_;
  MonotonicTime free_ MERGANSER_GUARDED_BY(mutex_) = {};  // when the turns that were given end
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_BANDWIDTH_H_
