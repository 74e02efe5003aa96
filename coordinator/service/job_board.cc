#include "coordinator/service/job_board.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

namespace merganser {
namespace {

// Removals that are told one by one: who asks less often reads all anew.
constexpr size_t kKeptRemovals = 1000;

}  // namespace

// Memory may run out at every insertion: what stands half-way then is passed over by readers, and
// made whole by the next view of that job.
void JobBoard::Post(JobView view) {
  const bool queues = view.info->state == JobState::kQueued;
  const std::pair queued(view.info->created.value_or(WallTime()), view.sequence);
  MutexLock lock(mutex_);
  const auto there = views_.find(view.sequence);
  if (there != views_.end() && *there->second.info == *view.info &&
      there->second.events == view.events) {
    return;
  }
  view.version = version_ + 1;
  by_version_.insert_or_assign(view.version, view.sequence);
  by_uid_.insert_or_assign(view.info->uid, view.sequence);
  if (queues) queued_.insert(queued);
  const auto [place, fresh] = views_.try_emplace(view.sequence);
  if (!fresh) {
    --counts_[static_cast<size_t>(place->second.info->state)];
    by_version_.erase(place->second.version);
  }
  if (!queues) queued_.erase(queued);
  ++counts_[static_cast<size_t>(view.info->state)];
  ++version_;
  place->second = std::move(view);
  changed_.NotifyAll();
}

void JobBoard::Remove(const std::string& uid) {
  MutexLock lock(mutex_);
  const auto found = by_uid_.find(uid);
  if (found == by_uid_.end()) return;
  const auto view = views_.find(found->second);
  by_uid_.erase(found);
  if (view == views_.end()) return;
  const JobInfo& info = *view->second.info;
  --counts_[static_cast<size_t>(info.state)];
  queued_.erase({info.created.value_or(WallTime()), view->first});
  by_version_.erase(view->second.version);
  ++version_;
  try {
    removed_.push_back({version_, info.name});
  } catch (const std::bad_alloc&) {
    forgotten_ = version_;  // who was not told reads all anew
  }
  if (removed_.size() > kKeptRemovals) {
    forgotten_ = std::max(forgotten_, removed_.front().version);
    removed_.pop_front();
  }
  views_.erase(view);
  changed_.NotifyAll();
}

std::optional<JobView> JobBoard::Find(const std::string& uid) const {
  MutexLock lock(mutex_);
  const auto found = by_uid_.find(uid);
  if (found == by_uid_.end()) return std::nullopt;
  const auto view = views_.find(found->second);
  if (view == views_.end()) return std::nullopt;
  return view->second;
}

std::vector<JobView> JobBoard::Before(uint64_t sequence, size_t most) const {
  std::vector<JobView> views;
  MutexLock lock(mutex_);
  for (auto it = views_.lower_bound(sequence); it != views_.begin() && views.size() < most;) {
    views.push_back((--it)->second);
  }
  return views;
}

std::vector<JobView> JobBoard::All() const { return Before(UINT64_MAX, SIZE_MAX); }

JobBoard::Changes JobBoard::Since(uint64_t since) const {
  Changes changes;
  MutexLock lock(mutex_);
  changes.version = version_;
  changes.all = since < forgotten_ || since > version_ || since == 0;
  const auto begin = changes.all ? by_version_.begin() : by_version_.upper_bound(since);
  for (auto it = begin; it != by_version_.end(); ++it) {
    const auto view = views_.find(it->second);
    if (view != views_.end() && view->second.version == it->first) {
      changes.changed.push_back(view->second);
    }
  }
  if (changes.all) return changes;
  for (const Removed& removed : removed_) {
    if (removed.version > since) changes.removed.push_back(removed.name);
  }
  return changes;
}

uint64_t JobBoard::version() const {
  MutexLock lock(mutex_);
  return version_;
}

uint64_t JobBoard::Await(uint64_t version, Duration limit) const {
  const auto until = std::chrono::steady_clock::now() + limit;
  MutexLock lock(mutex_);
  while (version_ <= version && !closed_) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= Duration::zero()) break;
    changed_.WaitFor(mutex_, left);
  }
  return version_;
}

void JobBoard::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.NotifyAll();
}

bool JobBoard::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

size_t JobBoard::size() const {
  MutexLock lock(mutex_);
  return views_.size();
}

JobBoard::StateCounts JobBoard::counts() const {
  MutexLock lock(mutex_);
  return counts_;
}

std::optional<WallTime> JobBoard::oldest_queued() const {
  MutexLock lock(mutex_);
  if (queued_.empty()) return std::nullopt;
  return queued_.begin()->first;
}

}  // namespace merganser
