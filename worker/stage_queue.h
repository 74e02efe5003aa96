// What stands between two stages: a bounded queue that closes.
#ifndef MERGANSER_WORKER_STAGE_QUEUE_H_
#define MERGANSER_WORKER_STAGE_QUEUE_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "common/base/mutex.h"

namespace merganser {

// Thread-safe, first in first out.
template <typename T>
class StageQueue {
 public:
  explicit StageQueue(size_t capacity) : capacity_(capacity) {}

  // Waits while the queue is full.
  void Push(T item) {
    MutexLock lock(mutex_);
    while (items_.size() >= capacity_) changed_.Wait(mutex_);
    items_.push_back(std::move(item));
    changed_.NotifyAll();
  }

  // nullopt once the queue is closed and empty.
  std::optional<T> Pop() {
    MutexLock lock(mutex_);
    while (items_.empty() && !closed_) changed_.Wait(mutex_);
    return Take();
  }

  // nullopt when there is nothing just now.
  std::optional<T> TryPop() {
    MutexLock lock(mutex_);
    return Take();
  }

  // No more items will come.
  void Close() {
    MutexLock lock(mutex_);
    closed_ = true;
    changed_.NotifyAll();
  }

  bool HasItem() {
    MutexLock lock(mutex_);
    return !items_.empty();
  }

  bool Closed() {
    MutexLock lock(mutex_);
    return closed_;
  }

 private:
  std::optional<T> Take() MERGANSER_REQUIRES(mutex_) {
    if (items_.empty()) return std::nullopt;
    T item = std::move(items_.front());
    items_.pop_front();
    changed_.NotifyAll();
    return item;
  }

  const size_t capacity_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<T> items_ MERGANSER_GUARDED_BY(mutex_);
  bool closed_ MERGANSER_GUARDED_BY(mutex_) = false;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_STAGE_QUEUE_H_
