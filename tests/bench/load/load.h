// Load on a coordinator over real sockets: the parts of service_load.cc.
#ifndef MERGANSER_TESTS_BENCH_LOAD_LOAD_H_
#define MERGANSER_TESTS_BENCH_LOAD_LOAD_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"

namespace merganser::load {

using Clock = std::chrono::steady_clock;

inline double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// A benchmark that cannot go on ends.
inline void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "service_load: %s\n", status.ToString().c_str());
  std::exit(1);
}

// Seconds that calls took while it is on, and how many failed. Thread-safe.
class Latencies {
 public:
  void Start() {
    MutexLock lock(mutex_);
    on_ = true;
  }
  void Stop() {
    MutexLock lock(mutex_);
    on_ = false;
  }
  void Add(double seconds) {
    MutexLock lock(mutex_);
    if (on_) values_.push_back(seconds);
  }
  void Fail(const std::string& why) {
    MutexLock lock(mutex_);
    if (!on_) return;
    if (failures_++ == 0) first_failure_ = why;
  }
  size_t count() {
    MutexLock lock(mutex_);
    return values_.size();
  }
  size_t failures() {
    MutexLock lock(mutex_);
    return failures_;
  }
  std::string first_failure() {
    MutexLock lock(mutex_);
    return first_failure_;
  }
  double Quantile(double q) {
    MutexLock lock(mutex_);
    if (values_.empty()) return 0;
    const auto at =
        values_.begin() + static_cast<ptrdiff_t>(q * static_cast<double>(values_.size() - 1));
    std::nth_element(values_.begin(), at, values_.end());
    return *at;
  }

 private:
  Mutex mutex_;
  bool on_ MERGANSER_GUARDED_BY(mutex_) = false;
  std::vector<double> values_ MERGANSER_GUARDED_BY(mutex_);
  size_t failures_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::string first_failure_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser::load

#endif  // MERGANSER_TESTS_BENCH_LOAD_LOAD_H_
