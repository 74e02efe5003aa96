#include "common/base/bounded_calls.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/detached_thread.h"
#include "common/base/guarded.h"
#include "common/base/mutex.h"

namespace merganser {
namespace {

constexpr Duration kLastWait = std::chrono::seconds(1);
constexpr Duration kAskEvery = std::chrono::milliseconds(100);

struct Call {
  std::function<absl::Status()> body;
  // Under the state's lock.
  absl::Status status;
  bool over = false;
  bool left = false;
};

}  // namespace

struct BoundedCalls::State {
  Mutex mutex;
  CondVar changed;
  size_t under_way MERGANSER_GUARDED_BY(mutex) = 0;
  size_t left_behind MERGANSER_GUARDED_BY(mutex) = 0;  // of these

  // False when `deadline` is over, or who waits is gone.
  bool WaitUntil(MonotonicTime deadline, const std::function<bool()>& gone = nullptr)
      MERGANSER_REQUIRES(mutex) {
    const Duration left = deadline - SystemClock().Now();
    if (left <= Duration::zero() || (gone && gone())) return false;
    changed.WaitFor(mutex, gone ? std::min(left, kAskEvery) : left);
    return true;
  }
};

BoundedCalls::BoundedCalls(size_t most) : most_(most), state_(std::make_shared<State>()) {}

BoundedCalls::~BoundedCalls() {
  const MonotonicTime deadline = SystemClock().Now() + kLastWait;
  MutexLock lock(state_->mutex);
  while (state_->under_way > 0 && state_->WaitUntil(deadline)) {
  }
}

absl::Status BoundedCalls::Run(Duration limit, std::function<absl::Status()> body,
                               const std::function<bool()>& gone) {
  const MonotonicTime deadline = SystemClock().Now() + limit;
  const auto call = std::make_shared<Call>();
  call->body = std::move(body);
  {
    MutexLock lock(state_->mutex);
    while (state_->under_way >= most_) {
      if (state_->left_behind < most_ && state_->WaitUntil(deadline, gone)) continue;
      if (gone && gone()) return absl::CancelledError("nobody waits for it any more");
      return absl::ResourceExhaustedError(absl::StrCat("found ", state_->under_way,
                                                       " calls that wait, ", state_->left_behind,
                                                       " of them for too long, expected fewer"));
    }
    ++state_->under_way;
  }
  absl::Status started = StartDetached([state = state_, call] {
    absl::Status status = Guarded(call->body);
    call->body = nullptr;  // whoever is told has it to himself again
    MutexLock lock(state->mutex);
    call->status = std::move(status);
    call->over = true;
    --state->under_way;
    if (call->left) --state->left_behind;
    state->changed.NotifyAll();
  });
  MutexLock lock(state_->mutex);
  if (!started.ok()) {
    --state_->under_way;
    state_->changed.NotifyAll();
    return started;
  }
  while (!call->over && state_->WaitUntil(deadline, gone)) {
  }
  if (call->over) return call->status;
  call->left = true;
  ++state_->left_behind;
  if (gone && gone()) return absl::CancelledError("nobody waits for it any more");
  return absl::DeadlineExceededError(
      absl::StrCat("no answer within ",
                   std::chrono::duration_cast<std::chrono::milliseconds>(limit).count(), " ms"));
}

}  // namespace merganser
