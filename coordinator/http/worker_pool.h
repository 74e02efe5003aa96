// A few threads for what may take a moment, and a bounded queue before them.
#ifndef MERGANSER_COORDINATOR_HTTP_WORKER_POOL_H_
#define MERGANSER_COORDINATOR_HTTP_WORKER_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"

namespace merganser::http {

// Thread-safe.
class WorkerPool {
 public:
  // kResourceExhausted where the system gives not a single thread.
  static absl::StatusOr<std::unique_ptr<WorkerPool>> Start(size_t threads, size_t waiting);
  ~WorkerPool();  // Stop
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False where as many wait as may, or it was stopped. `task` throws nothing.
  bool Submit(std::function<void()> task) MERGANSER_EXCLUDES(mutex_);
  // Does what was submitted, and returns when it is done. Idempotent; for one thread.
  void Stop() MERGANSER_EXCLUDES(mutex_);

 private:
  explicit WorkerPool(size_t waiting) : waiting_(waiting) {}
  void Run() MERGANSER_EXCLUDES(mutex_);

  const size_t waiting_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> tasks_ MERGANSER_GUARDED_BY(mutex_);
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  ThreadGroup threads_;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_WORKER_POOL_H_
