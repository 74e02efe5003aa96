// SIGINT, SIGTERM and SIGHUP as a call on an ordinary thread.
#ifndef MERGANSER_COORDINATOR_CLI_INTERRUPT_H_
#define MERGANSER_COORDINATOR_CLI_INTERRUPT_H_

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

#include "common/base/mutex.h"

namespace merganser::cli {

// Construct before any other thread starts: the signals are blocked in all
// threads that come after and waited for on one of its own. Without a handler
// the first signal ends the process at once; with one, the first calls it and the
// second ends the process. Signals that were ignored before stay so.
class InterruptWatcher {
 public:
  InterruptWatcher();
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  // Called at once if a signal came between two handlers.
  void SetHandler(std::function<void()> handler);
  void ClearHandler();

 private:
  void Watch();

  const sigset_t signals_;
  Mutex mutex_;
  std::function<void()> handler_ MERGANSER_GUARDED_BY(mutex_);
  std::atomic<bool> interrupted_ = false;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_INTERRUPT_H_
