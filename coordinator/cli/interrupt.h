// SIGINT, SIGTERM and SIGHUP as a call on an ordinary thread.
#ifndef MERGANSER_COORDINATOR_CLI_INTERRUPT_H_
#define MERGANSER_COORDINATOR_CLI_INTERRUPT_H_

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"

namespace merganser::cli {

// Construct before any other thread starts: the signals are blocked in all
// threads that come after and waited for on one of its own. Without a handler
// the first signal ends the process at once; with one, the first calls it and the
// second ends the process. Signals that were ignored before stay so.
class InterruptWatcher {
 public:
  // kResourceExhausted when the system gives no thread; signals are then as they were.
  static absl::StatusOr<std::unique_ptr<InterruptWatcher>> Start();
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  // Called at once if a signal came between two handlers.
  void SetHandler(std::function<void()> handler);
  void ClearHandler();

 private:
  InterruptWatcher();
  void Watch();

  const sigset_t signals_;
  Mutex mutex_;
  std::function<void()> handler_ MERGANSER_GUARDED_BY(mutex_);
  std::atomic<bool> interrupted_ = false;
  std::atomic<bool> stopping_ = false;
  Thread thread_;
};

// While it lives a handler may refer to what its scope owns: when it goes, however that
// comes about, signals call nothing of it any more. They are taken note of, and end
// nothing: who leaves is about to clear up.
class HandlerScope {
 public:
  explicit HandlerScope(InterruptWatcher& interrupts) : interrupts_(interrupts) {}
  ~HandlerScope() {
    interrupts_.SetHandler([] {});
  }
  HandlerScope(const HandlerScope&) = delete;
  HandlerScope& operator=(const HandlerScope&) = delete;

 private:
  InterruptWatcher& interrupts_;
};

// Runs `run` with a watcher, before which no other thread may have started: the exit code.
int WithInterrupts(const std::function<int(InterruptWatcher&)>& run);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_INTERRUPT_H_
