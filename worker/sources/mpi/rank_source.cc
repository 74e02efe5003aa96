#include "worker/sources/mpi/rank_source.h"

#include <iterator>
#include <utility>

namespace merganser {

RankSource::RankSource(std::shared_ptr<const JobContext> job, Duration flush_period)
    : job_(std::move(job)),
      flusher_(
          job_, flush_period,
          [this](std::vector<UnitResult> durable) {
            MutexLock lock(mutex_);
            std::move(durable.begin(), durable.end(), std::back_inserter(events_.results));
            has_news_ = true;
            news_.NotifyAll();
          },
          [this](absl::Status status) { FailWith(std::move(status)); }) {}

absl::StatusOr<std::optional<LeasedUnit>> RankSource::Next() {
  MutexLock lock(mutex_);
  while (true) {
    if (dropped_) return std::nullopt;
    if (!queue_.empty()) {
      LeasedUnit unit = std::move(queue_.front());
      queue_.pop_front();
      ++events_.taken;
      has_news_ = true;
      news_.NotifyAll();
      return unit;
    }
    if (closed_) return std::nullopt;
    changed_.Wait(mutex_);
  }
}

bool RankSource::Progress(const LeasedUnit& /*unit*/, uint64_t bytes) {
  MutexLock lock(mutex_);
  events_.bytes += bytes;
  return !dropped_;
}

void RankSource::Complete(const LeasedUnit& /*unit*/, UnitResult result) {
  flusher_.Add(std::move(result));
  EndUnit();
}

void RankSource::Fail(const LeasedUnit& /*unit*/, absl::Status status) {
  FailWith(std::move(status));
  EndUnit();
}

void RankSource::EndUnit() {
  {
    MutexLock lock(mutex_);
    if (--held_ > 0) return;
  }
  // Rank 0 may be waiting for these alone.
  flusher_.Hurry();
}

void RankSource::FailWith(absl::Status status) {
  MutexLock lock(mutex_);
  if (std::exchange(failed_, true)) return;
  events_.failure = std::move(status);
  has_news_ = true;
  news_.NotifyAll();
}

void RankSource::End(absl::Status status) {
  if (!status.ok()) FailWith(std::move(status));
  flusher_.Finish(/*keep=*/true);
  MutexLock lock(mutex_);
  events_.ended = true;
  has_news_ = true;
  news_.NotifyAll();
}

void RankSource::Give(uint32_t round, const std::shared_ptr<const Gates>& gates,
                      const std::vector<uint32_t>& units) {
  MutexLock lock(mutex_);
  for (const uint32_t unit : units) queue_.push_back({job_, unit, "", round, gates});
  held_ += units.size();
  changed_.NotifyAll();
}

void RankSource::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.NotifyAll();
}

void RankSource::Drop() {
  MutexLock lock(mutex_);
  dropped_ = true;
  changed_.NotifyAll();
}

RankEvents RankSource::TakeEvents() {
  MutexLock lock(mutex_);
  has_news_ = false;
  return std::exchange(events_, {});
}

void RankSource::Wait(Duration timeout) {
  MutexLock lock(mutex_);
  if (!has_news_) news_.WaitFor(mutex_, timeout);
}

}  // namespace merganser
