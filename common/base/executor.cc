#include "common/base/executor.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <utility>

namespace merganser {

void SerialExecutor::ParallelFor(size_t count, const std::function<void(size_t)>& block) {
  for (size_t i = 0; i < count; ++i) block(i);
}

// One ParallelFor. The publisher and every thread that took the Work draw
// indices from `next` until they run out. Nobody waits for a thread that waits
// for him: a publisher works on its own indices first and then waits only for
// blocks that already run, and a running block's own ParallelFor does the same.
struct ThreadPool::Work {
  Work(size_t total, const std::function<void(size_t)>& function) : count(total), block(function) {}

  bool Exhausted() const { return next.load(std::memory_order_relaxed) >= count; }
  // Runs one block; false if none was left. The pool's mutex orders what
  // blocks read and wrote, so the counter itself orders nothing.
  bool RunOne() {
    const size_t index = next.fetch_add(1, std::memory_order_relaxed);
    if (index >= count) return false;
    try {
      block(index);
    } catch (...) {
      // The first; the pool's mutex makes it the publisher's.
      if (!thrown.exchange(true)) error = std::current_exception();
      next.store(count, std::memory_order_relaxed);
    }
    return true;
  }

  const size_t count;
  const std::function<void(size_t)>& block;  // lives until the publisher returns
  std::atomic<size_t> next{0};
  std::atomic<bool> thrown{false};
  std::exception_ptr error;
  size_t runners = 0;  // threads beside the publisher; guarded by the pool's mutex_
  CondVar left;        // `runners` became 0
};

ThreadPool::ThreadPool(size_t helpers) {
  threads_.Start(helpers, [this] { HelpUntil([] { return false; }); }).IgnoreError();
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  threads_.Join().IgnoreError();
}

void ThreadPool::ParallelFor(size_t count, const std::function<void(size_t)>& block) {
  if (count <= 1) {
    if (count == 1) block(0);
    return;
  }
  const auto work = std::make_shared<Work>(count, block);
  {
    MutexLock lock(mutex_);
    open_.push_front(work);
  }
  changed_.NotifyAll();
  while (work->RunOne()) {
  }
  {
    MutexLock lock(mutex_);
    if (const auto it = std::find(open_.begin(), open_.end(), work); it != open_.end()) {
      open_.erase(it);
    }
    while (work->runners != 0) work->left.Wait(mutex_);
  }
  // Taken out of `work`, which a helper may hold a little longer: whoever catches the exception is
  // then the last to hold it.
  if (work->error != nullptr) std::rethrow_exception(std::exchange(work->error, nullptr));
}

std::shared_ptr<ThreadPool::Work> ThreadPool::Take() {
  while (!open_.empty()) {
    if (!open_.front()->Exhausted()) {
      ++open_.front()->runners;
      return open_.front();
    }
    open_.pop_front();
  }
  return nullptr;
}

void ThreadPool::HelpUntil(const std::function<bool()>& stop) {
  for (;;) {
    uint64_t wakes;
    {
      MutexLock lock(mutex_);
      wakes = wakes_;
    }
    // A Wake() that comes after this question changes wakes_, so none is lost.
    if (stop()) return;
    std::shared_ptr<Work> work;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && (work = Take()) == nullptr && wakes_ == wakes) changed_.Wait(mutex_);
      if (stopping_) return;
    }
    if (work == nullptr) continue;
    bool stopped = false;
    while (work->RunOne() && !(stopped = stop())) {
    }
    {
      MutexLock lock(mutex_);
      if (--work->runners == 0) work->left.NotifyAll();
    }
    if (stopped) return;
  }
}

void ThreadPool::Wake() {
  {
    MutexLock lock(mutex_);
    ++wakes_;
  }
  changed_.NotifyAll();
}

}  // namespace merganser
