#include "common/base/thread.h"

#include <csignal>

#include <thread>
#include <utility>

#include "common/base/detached_thread.h"
#include "common/base/guarded.h"

namespace merganser {

struct Thread::State {
  std::function<void()> body;
  absl::Status ended;  // the thread's until it is joined
  std::thread thread;  // last: it uses the others
};

Thread::Thread() = default;
Thread::Thread(std::unique_ptr<State> state) : state_(std::move(state)) {}
Thread::Thread(Thread&& other) noexcept = default;

Thread& Thread::operator=(Thread&& other) noexcept {
  if (this != &other) {
    Join().IgnoreError();
    state_ = std::move(other.state_);
  }
  return *this;
}

Thread::~Thread() { Join().IgnoreError(); }

absl::StatusOr<Thread> Thread::Start(std::function<void()> body) {
  return Guarded([&]() -> absl::StatusOr<Thread> {
    auto state = std::make_unique<State>();
    state->body = std::move(body);
    state->thread = std::thread([s = state.get()] { s->ended = Guarded(s->body); });
    return Thread(std::move(state));
  });
}

absl::Status Thread::Join() {
  if (state_ == nullptr) return absl::OkStatus();
  state_->thread.join();
  const std::unique_ptr<State> over = std::move(state_);
  return std::move(over->ended);
}

void Thread::Signal(int signal) { pthread_kill(state_->thread.native_handle(), signal); }

absl::Status StartDetached(std::function<void()> body) {
  return Guarded(
      [&] { std::thread([run = std::move(body)] { Guarded(run).IgnoreError(); }).detach(); });
}

absl::Status ThreadGroup::Start(size_t count, const std::function<void()>& body) {
  const absl::Status status = Guarded([&]() -> absl::Status {
    threads_.reserve(threads_.size() + count);
    for (size_t i = 0; i < count; ++i) {
      absl::StatusOr<Thread> started = Thread::Start(body);
      if (!started.ok()) return started.status();
      threads_.push_back(*std::move(started));
    }
    return absl::OkStatus();
  });
  return threads_.empty() ? status : absl::OkStatus();
}

absl::Status ThreadGroup::Join() {
  absl::Status first;
  for (Thread& thread : threads_) {
    const absl::Status ended = thread.Join();
    if (first.ok()) first = ended;
  }
  threads_.clear();
  return first;
}

}  // namespace merganser
