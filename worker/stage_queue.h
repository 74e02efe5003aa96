// What stands between two stages: a bounded queue that closes.
#ifndef MERGANSER_WORKER_STAGE_QUEUE_H_
#define MERGANSER_WORKER_STAGE_QUEUE_H_

#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/mutex.h"

namespace merganser {

// Thread-safe, first in first out. All of its memory is taken when it is made: no item is
// lost between two stages for want of some.
template <typename T>
class StageQueue {
  static_assert(std::is_nothrow_move_constructible_v<T>);

 public:
  // Precondition: capacity > 0.
  explicit StageQueue(size_t capacity) : places_(capacity) {}

  // Waits while the queue is full.
  void Push(T item) {
    MutexLock lock(mutex_);
    while (items_ == places_.size()) changed_.Wait(mutex_);
    places_[(first_ + items_) % places_.size()].emplace(std::move(item));
    ++items_;
    changed_.NotifyAll();
  }

  // nullopt once the queue is closed and empty.
  std::optional<T> Pop() {
    MutexLock lock(mutex_);
    while (items_ == 0 && !closed_) changed_.Wait(mutex_);
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
    return items_ != 0;
  }

  bool Closed() {
    MutexLock lock(mutex_);
    return closed_;
  }

 private:
  std::optional<T> Take() MERGANSER_REQUIRES(mutex_) {
    if (items_ == 0) return std::nullopt;
    std::optional<T> item = std::move(places_[first_]);
    places_[first_].reset();
    first_ = (first_ + 1) % places_.size();
    --items_;
    changed_.NotifyAll();
    return item;
  }

  Mutex mutex_;
  CondVar changed_;
  std::vector<std::optional<T>> places_ MERGANSER_GUARDED_BY(mutex_);  // a ring
  size_t first_ MERGANSER_GUARDED_BY(mutex_) = 0;                      // of the items in it
  size_t items_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool closed_ MERGANSER_GUARDED_BY(mutex_) = false;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_STAGE_QUEUE_H_
