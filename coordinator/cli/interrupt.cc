#include "coordinator/cli/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <utility>

#include "coordinator/cli/exit_code.h"

namespace merganser::cli {
namespace {

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

InterruptWatcher::InterruptWatcher() {
  const sigset_t signals = Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { Watch(); });
}

InterruptWatcher::~InterruptWatcher() {
  stopping_ = true;
  thread_.join();
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
  const sigset_t signals = Signals();
  while (!stopping_) {
    const timespec wait = {0, 50'000'000};
    if (sigtimedwait(&signals, nullptr, &wait) <= 0) continue;
    MutexLock lock(mutex_);
    if (interrupted_ || handler_ == nullptr) _exit(kInterrupted);
    interrupted_ = true;
    handler_();
  }
}

}  // namespace merganser::cli
