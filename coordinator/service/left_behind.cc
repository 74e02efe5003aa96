#include "coordinator/service/left_behind.h"

#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/detached_thread.h"
#include "common/base/guarded.h"
#include "common/base/mutex.h"
#include "common/base/shown.h"

namespace merganser {

struct LeftBehind::State {
  explicit State(size_t limit) : most(limit) {}

  const size_t most;
  Mutex mutex;
  CondVar ended;
  size_t count MERGANSER_GUARDED_BY(mutex) = 0;
  std::map<std::string, size_t> at MERGANSER_GUARDED_BY(mutex);  // by place
};

LeftBehind::LeftBehind(size_t most) : state_(std::make_shared<State>(most)) {}

std::optional<absl::Status> LeftBehind::Run(const std::vector<std::string>& places,
                                            std::function<absl::Status()> step,
                                            const std::function<bool()>& give_up,
                                            std::function<void()> late) {
  // Under the state's lock, but for the functions.
  struct Call {
    std::function<absl::Status()> step;
    std::function<void()> late;
    std::vector<std::string> places;
    std::optional<absl::Status> ended;
    bool left = false;
  };
  const auto call = std::make_shared<Call>();
  call->step = std::move(step);
  call->late = std::move(late);
  call->places = places;
  absl::Status started = StartDetached([state = state_, call] {
    const absl::Status status = Guarded(call->step);
    call->step = nullptr;  // who waits has what it held to himself
    {
      MutexLock lock(state->mutex);
      call->ended = status;
      state->ended.NotifyAll();
      if (!call->left) return;
    }
    Guarded(call->late).IgnoreError();
    call->late = nullptr;
    MutexLock lock(state->mutex);
    --state->count;
    for (const std::string& place : call->places) {
      if (const auto it = state->at.find(place); --it->second == 0) state->at.erase(it);
    }
  });
  if (!started.ok()) return started;
  while (true) {
    {
      MutexLock lock(state_->mutex);
      if (!call->ended.has_value()) state_->ended.WaitFor(state_->mutex, kLook);
      if (call->ended.has_value()) return *call->ended;
    }
    if (!give_up()) continue;
    MutexLock lock(state_->mutex);
    if (call->ended.has_value()) return *call->ended;
    if (state_->count >= state_->most) continue;
    ++state_->count;
    for (const std::string& place : call->places) ++state_->at[place];
    call->left = true;
    return std::nullopt;
  }
}

absl::Status LeftBehind::Check(const std::vector<std::string>& places) const {
  MutexLock lock(state_->mutex);
  if (state_->count < state_->most) return absl::OkStatus();
  for (const std::string& place : places) {
    const auto it = state_->at.find(place);
    if (it == state_->at.end()) continue;
    return absl::UnavailableError(absl::StrCat(
        Shown(place), ": storage does not answer there: ", it->second, " of ", state_->count,
        " threads that hang in planning wait for it, and no more are risked; mend the mount, or "
        "start the coordinator again where it was mended"));
  }
  return absl::OkStatus();
}

size_t LeftBehind::count() const {
  MutexLock lock(state_->mutex);
  return state_->count;
}

}  // namespace merganser
