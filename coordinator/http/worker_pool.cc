#include "coordinator/http/worker_pool.h"

#include <utility>

#include "common/base/guarded.h"
#include "common/base/status.h"

namespace merganser::http {

absl::StatusOr<std::unique_ptr<WorkerPool>> WorkerPool::Start(size_t threads, size_t waiting) {
  std::unique_ptr<WorkerPool> pool(new WorkerPool(waiting));
  MERGANSER_RETURN_IF_ERROR(pool->threads_.Start(threads, [p = pool.get()] { p->Run(); }));
  return pool;
}

WorkerPool::~WorkerPool() { Stop(); }

bool WorkerPool::Submit(std::function<void()> task) {
  MutexLock lock(mutex_);
  if (stopping_ || tasks_.size() >= waiting_) return false;
  tasks_.push_back(std::move(task));
  changed_.NotifyOne();
  return true;
}

void WorkerPool::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  threads_.Join().IgnoreError();
}

void WorkerPool::Run() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      while (tasks_.empty() && !stopping_) changed_.Wait(mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    Guarded(task).IgnoreError();
  }
}

}  // namespace merganser::http
