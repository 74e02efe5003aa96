#include "coordinator/cli/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <iterator>
#include <thread>
#include <utility>

#include "common/base/guarded.h"
#include "coordinator/cli/exit_code.h"

namespace merganser::cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
constexpr int kHandlerTries = 100;
constexpr std::chrono::milliseconds kHandlerPause(50);

// The signals that ask for an end, but for those that whoever started us wants
// ignored (nohup, a background job of a script): blocked, they would be waited for.
sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : kSignals) {
    struct sigaction now = {};
    sigaction(number, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&signals, number);
  }
  return signals;
}

bool AnyOf(const sigset_t& signals) {
  return std::any_of(std::begin(kSignals), std::end(kSignals),
                     [&](int number) { return sigismember(&signals, number) == 1; });
}

}  // namespace

InterruptWatcher::InterruptWatcher() : signals_(Signals()) {}

absl::StatusOr<std::unique_ptr<InterruptWatcher>> InterruptWatcher::Start() {
  std::unique_ptr<InterruptWatcher> watcher(new InterruptWatcher());
  if (!AnyOf(watcher->signals_)) return watcher;  // nothing to wait for
  pthread_sigmask(SIG_BLOCK, &watcher->signals_, nullptr);
  absl::StatusOr<Thread> thread = Thread::Start([w = watcher.get()] { w->Watch(); });
  if (!thread.ok()) {
    pthread_sigmask(SIG_UNBLOCK, &watcher->signals_, nullptr);
    return thread.status();
  }
  watcher->thread_ = *std::move(thread);
  return watcher;
}

InterruptWatcher::~InterruptWatcher() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  for (const int number : kSignals) {  // one of those that it waits for
    if (sigismember(&signals_, number) == 1) thread_.Signal(number);
  }
  thread_.Join().IgnoreError();
}

void InterruptWatcher::SetHandler(std::function<void()> handler) {
  MutexLock lock(mutex_);
  handler_ = std::move(handler);
  if (interrupted_) handler_();
}

void InterruptWatcher::ClearHandler() {
  MutexLock lock(mutex_);
  handler_ = nullptr;
}

void InterruptWatcher::Watch() {
  while (true) {
    int number = 0;
    if (sigwait(&signals_, &number) != 0) continue;
    if (stopping_) return;
    MutexLock lock(mutex_);
    if (interrupted_ || handler_ == nullptr) _exit(kInterrupted);
    interrupted_ = true;
    // One that finds no memory now may find some in a moment.
    for (int i = 0; !Guarded(handler_).ok(); ++i) {
      if (i == kHandlerTries) _exit(kInterrupted);
      std::this_thread::sleep_for(kHandlerPause);
    }
  }
}

int WithInterrupts(const std::function<int(InterruptWatcher&)>& run) {
  const absl::StatusOr<std::unique_ptr<InterruptWatcher>> watcher = InterruptWatcher::Start();
  if (!watcher.ok()) return Fail(watcher.status(), Phase::kRunning);
  return run(**watcher);
}

}  // namespace merganser::cli
