// Token buckets: so many at once, so many a second.
#ifndef MERGANSER_COORDINATOR_FRONT_BUCKET_H_
#define MERGANSER_COORDINATOR_FRONT_BUCKET_H_

#include <algorithm>
#include <chrono>

#include "common/base/clock.h"

namespace merganser::front {

struct Rate {
  double burst = 0;
  double per_second = 0;
};

// Not thread-safe. Time never goes back.
class Bucket {
 public:
  explicit Bucket(Rate rate) : rate_(rate), left_(rate.burst) {}

  bool Has(double count, MonotonicTime now) {
    Fill(now);
    return left_ >= count;
  }
  // Takes what there is, and is in debt for the rest, by one burst at most.
  void Charge(double count, MonotonicTime now) {
    Fill(now);
    left_ = std::max(left_ - count, -rate_.burst);
  }
  // As if it had not been taken.
  void Refund(double count) { left_ = std::min(left_ + count, rate_.burst); }
  bool Take(double count, MonotonicTime now) {
    if (!Has(count, now)) return false;
    left_ -= count;
    return true;
  }
  // When it will have `count`, a number up to the burst.
  MonotonicTime When(double count, MonotonicTime now) {
    Fill(now);
    if (left_ >= count) return now;
    const std::chrono::duration<double> wait((count - left_) / rate_.per_second);
    return now + std::chrono::duration_cast<Duration>(wait) + std::chrono::milliseconds(1);
  }
  bool Full(MonotonicTime now) { return Has(rate_.burst, now); }

 private:
  void Fill(MonotonicTime now) {
    if (filled_ != MonotonicTime::min() && now > filled_) {
      const std::chrono::duration<double> passed = now - filled_;
      left_ = std::min(rate_.burst, left_ + passed.count() * rate_.per_second);
    }
    filled_ = std::max(filled_, now);
  }

  Rate rate_;
  double left_;
  MonotonicTime filled_ = MonotonicTime::min();
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_BUCKET_H_
