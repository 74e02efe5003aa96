#include "coordinator/cli/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <utility>

#include "coordinator/cli/exit_code.h"

namespace merganser::cli {
namespace {

// The signals that ask for an end, but for those that whoever started us wants
// ignored (nohup, a background job of a script): blocked, they would be waited for.
sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now = {};
    sigaction(number, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&signals, number);
  }
  return signals;
}

}  // namespace

InterruptWatcher::InterruptWatcher() : signals_(Signals()) {
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
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
  while (!stopping_) {
    const timespec wait = {0, 50'000'000};
    if (sigtimedwait(&signals_, nullptr, &wait) <= 0) continue;
    MutexLock lock(mutex_);
    if (interrupted_ || handler_ == nullptr) _exit(kInterrupted);
    interrupted_ = true;
    handler_();
  }
}

}  // namespace merganser::cli
