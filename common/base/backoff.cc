#include "common/base/backoff.h"

#include <algorithm>

namespace merganser {

Duration BackoffAfter(int failures, const BackoffLimits& limits) {
  Duration wait = std::min(limits.least, limits.most);
  // Not by a power of two, which overflows.
  for (int i = 1; i < failures && wait < limits.most && wait > Duration::zero(); ++i) {
    wait = std::min(2 * wait, limits.most);
  }
  return wait;
}

void Backoff::Limit(Duration most) { limits_.most = std::min(limits_.most, most); }

}  // namespace merganser
