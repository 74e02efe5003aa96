// How long to wait before what failed is tried again.
#ifndef MERGANSER_COMMON_BASE_BACKOFF_H_
#define MERGANSER_COMMON_BASE_BACKOFF_H_

#include "common/base/clock.h"

namespace merganser {

struct BackoffLimits {
  Duration least{};  // after the first failure
  Duration most{};
};

// The wait after so many failures in a row, of at least one: twice as long each time.
Duration BackoffAfter(int failures, const BackoffLimits& limits);

// Counts failures in a row. Not thread-safe.
class Backoff {
 public:
  explicit Backoff(const BackoffLimits& limits) : limits_(limits) {}

  // After a failure: how long to wait now.
  Duration Next() { return BackoffAfter(++failures_, limits_); }
  // After a success.
  void Reset() { failures_ = 0; }
  // Whether the last attempt failed.
  bool failing() const { return failures_ > 0; }
  // From now on no wait is longer.
  void Limit(Duration most);

 private:
  BackoffLimits limits_;
  int failures_ = 0;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_BACKOFF_H_
