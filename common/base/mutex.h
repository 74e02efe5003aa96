// A mutex and condition variable whose lock rules clang checks
// (-Wthread-safety). They wrap std::mutex rather than absl::Mutex because the
// packaged absl::Mutex is not built for ThreadSanitizer and reports false races.
#ifndef MERGANSER_COMMON_BASE_MUTEX_H_
#define MERGANSER_COMMON_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define MERGANSER_TS_ATTRIBUTE_(x) __attribute__((x))
#else
#define MERGANSER_TS_ATTRIBUTE_(x)
#endif

#define MERGANSER_CAPABILITY(x) MERGANSER_TS_ATTRIBUTE_(capability(x))
#define MERGANSER_SCOPED_CAPABILITY MERGANSER_TS_ATTRIBUTE_(scoped_lockable)
#define MERGANSER_GUARDED_BY(x) MERGANSER_TS_ATTRIBUTE_(guarded_by(x))
#define MERGANSER_REQUIRES(...) MERGANSER_TS_ATTRIBUTE_(requires_capability(__VA_ARGS__))
#define MERGANSER_EXCLUDES(...) MERGANSER_TS_ATTRIBUTE_(locks_excluded(__VA_ARGS__))
#define MERGANSER_ACQUIRE(...) MERGANSER_TS_ATTRIBUTE_(acquire_capability(__VA_ARGS__))
#define MERGANSER_RELEASE(...) MERGANSER_TS_ATTRIBUTE_(release_capability(__VA_ARGS__))
#define MERGANSER_ASSERT_HELD(x) MERGANSER_TS_ATTRIBUTE_(assert_capability(x))
#define MERGANSER_NO_THREAD_SAFETY_ANALYSIS MERGANSER_TS_ATTRIBUTE_(no_thread_safety_analysis)

namespace merganser {

class MERGANSER_CAPABILITY("mutex") Mutex {
 public:
  void Lock() MERGANSER_ACQUIRE() { mutex_.lock(); }
  void Unlock() MERGANSER_RELEASE() { mutex_.unlock(); }
  // First in a lambda that runs under the lock: clang looks at a lambda by itself, and
  // takes this for its word that the lock is held. Does nothing.
  void AssertHeld() const MERGANSER_ASSERT_HELD(this) {}

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class MERGANSER_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) MERGANSER_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() MERGANSER_RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits release and re-take the mutex that the caller holds. Wake-ups may be
// spurious: wait in a loop over the condition.
class CondVar {
 public:
  void Wait(Mutex& mutex) MERGANSER_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // False when `timeout` passed without a wake-up.
  bool WaitFor(Mutex& mutex, std::chrono::nanoseconds timeout) MERGANSER_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool woken = cv_.wait_for(lock, timeout) == std::cv_status::no_timeout;
    lock.release();
    return woken;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_MUTEX_H_
