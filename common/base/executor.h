// Where a computation may spread over threads. What a result is never depends
// on it: callers cut work into blocks that depend on shapes alone, give each
// block its own place for its result, and combine the blocks in block order.
#ifndef MERGANSER_COMMON_BASE_EXECUTOR_H_
#define MERGANSER_COMMON_BASE_EXECUTOR_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "common/base/mutex.h"
#include "common/base/thread.h"

namespace merganser {

class Executor {
 public:
  virtual ~Executor() = default;
  // Calls `block(i)` once for every i in [0, count), in any order, on any
  // threads, the calling one among them; returns when all have returned. Where a
  // block throws, those that have not begun are left out, and the first exception
  // goes on from here, on the calling thread. Thread-safe; may be nested.
  virtual void ParallelFor(size_t count, const std::function<void(size_t)>& block) = 0;

  // True once nobody wants the result any more: a computation of many steps may
  // ask between them and end early. Thread-safe.
  virtual bool cancelled() const { return false; }
};

// Runs blocks in order on the calling thread.
class SerialExecutor final : public Executor {
 public:
  void ParallelFor(size_t count, const std::function<void(size_t)>& block) override;
};

// Helpers that lend themselves to whoever is inside ParallelFor. `helpers` are
// threads beside the callers' own: T threads in all means T callers and no
// helpers, or one caller and T - 1 helpers. Where the system gives fewer threads there
// are fewer helpers: a result never depends on their number.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(size_t helpers);
  // No call may be inside ParallelFor or HelpUntil any more.
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  void ParallelFor(size_t count, const std::function<void(size_t)>& block) override;

  // For a caller's thread with nothing of its own to do: helps until
  // `stop()` is true. `stop` is asked between blocks and after Wake(), with no
  // lock of the pool held.
  void HelpUntil(const std::function<bool()>& stop);
  // Makes HelpUntil ask its `stop` again.
  void Wake();

 private:
  struct Work;
  // The newest open Work with indices left, counting the caller among its
  // runners; null if there is none.
  std::shared_ptr<Work> Take() MERGANSER_REQUIRES(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::shared_ptr<Work>> open_ MERGANSER_GUARDED_BY(mutex_);
  uint64_t wakes_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  ThreadGroup threads_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_EXECUTOR_H_
