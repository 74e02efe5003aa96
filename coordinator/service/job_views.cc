// JobManager, the part that tells where jobs stand: snapshots of them, the board that those are
// posted on, and who watches it.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/requests.h"

namespace merganser {

JobInfo JobManager::Snapshot(const Job& job) const {
  JobInfo info = job.record.info;
  if (!IsTerminal(info.state)) {
    // Decided, but its partial output is still there.
    info.error = absl::OkStatus();
    info.error_reason.clear();
  }
  info.progress = job.progress;
  // What was moved is counted until the end, and on record with it.
  info.progress.bytes_read = job.record.info.progress.bytes_read;
  info.progress.bytes_written = job.record.info.progress.bytes_written;
  const auto status = job.scheduled ? schedule_.Status(info.uid) : std::nullopt;
  if (status.has_value()) {
    const JobProgress& before = job.before;
    info.progress.units_total = before.units_total;
    info.progress.units_done = before.units_done + status->units_done;
    info.progress.bytes_total = before.bytes_total;
    info.progress.bytes_done = before.bytes_done + status->bytes_done;
    info.progress.units_leased = status->units_leased;
    info.progress.workers = status->workers;
    info.progress.retries = before.retries + status->retries;
    info.progress.detail = status->detail;
    info.pace = Pace(job, *status);
    const int rounds = job.plan == nullptr ? 1 : job.plan->plan->rounds;
    if (rounds > 1 && info.progress.detail.empty()) {
      info.progress.detail = absl::StrCat("round ", job.round + 1, " of ", rounds);
    }
    if (!record_trouble_.empty()) info.progress.detail = record_trouble_;
  }
  if (!IsTerminal(info.state)) {
    if (std::string text = places_.QueueText(job); !text.empty())
      info.progress.detail = std::move(text);
    if (!job.trouble.empty()) info.progress.detail = job.trouble;
  }
  info.progress.detail = Cut(info.progress.detail, kMaxDetailText);
  if (job.activity.has_value() && !IsTerminal(info.state)) {
    info.progress.bytes_read = job.activity->moved().bytes_read;
    info.progress.bytes_written = job.activity->moved().bytes_written;
  }
  return info;
}

JobInfo JobManager::WithRecipe(const Job& job) const {
  JobInfo info = Snapshot(job);
  info.request.recipe = *job.recipe;
  return info;
}

void JobManager::Show(Job& job) {
  Guarded([&] {
    mutex_.AssertHeld();
    if (job.shown_events == nullptr) {
      job.shown_events =
          std::make_shared<const std::vector<JobEvent>>(job.events.begin(), job.events.end());
    }
    board_.Post({std::make_shared<const JobInfo>(Snapshot(job)), job.recipe, job.shown_events,
                 job.record.sequence});
  }).IgnoreError();
}

void JobManager::ShowLoop() {
  const Duration pause =
      std::min<Duration>(options_.watch_interval / 2, std::chrono::milliseconds(250));
  uint64_t shown_moves = 0;
  MutexLock lock(mutex_);
  while (!stopping_) {
    stop_tick_.WaitFor(mutex_, pause);
    for (const auto& [sequence, job] : places_.taken()) {
      Sample(*job);
      Show(*job);
    }
    if (shown_moves == places_.moves()) continue;
    shown_moves = places_.moves();
    for (const JobPtr& job : places_.queue()) Show(*job);
  }
}

absl::Status JobManager::Watch(const std::string& name,
                               const std::function<bool(const JobInfo&)>& send,
                               const std::function<bool()>& cancelled) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string uid, ParseJobName(name));
  std::shared_ptr<const JobInfo> sent;
  auto sent_at = std::chrono::steady_clock::now();
  while (!cancelled()) {
    const uint64_t version = board_.version();
    const std::optional<JobView> now = board_.Find(uid);
    if (!now.has_value()) return JobNotFound(name);
    const JobInfo& info = *now->info;
    const bool news = !sent || info.state != sent->state || info.cancelling != sent->cancelling;
    const bool paused = std::chrono::steady_clock::now() - sent_at >= options_.watch_interval;
    if (news || (paused && info != *sent)) {
      if (!send(info) || IsTerminal(info.state)) break;
      sent = now->info;
      sent_at = std::chrono::steady_clock::now();
    } else if (board_.closed()) {
      return CoordinatorStopping();
    } else {
      // Short, because a client that went away does not wake us.
      board_.Await(version,
                   std::min<Duration>(options_.watch_interval / 2, std::chrono::milliseconds(250)));
    }
  }
  return absl::OkStatus();
}

}  // namespace merganser
