#include "worker/sources/mpi/rank_source.h"

#include <utility>

#include "common/base/guarded.h"
#include "common/engine/rounds.h"

namespace merganser {

RankSource::RankSource(std::shared_ptr<const JobContext> job, Duration flush_period,
                       std::shared_ptr<MetricRegistry> metrics)
    : job_(std::move(job)),
      batcher_(
          flush_period, [this](std::span<WrittenUnit> batch) { TakeSettled(batch); },
          std::move(metrics)) {
  if (!batcher_.started().ok()) FailWith(batcher_.started());
}

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

void RankSource::Complete(const LeasedUnit& unit, UnitResult result) {
  if (IsLastRound(job_->plan, unit.round)) {
    batcher_.Add({unit, std::move(result)});
  } else {
    // What analysis keeps is durable already, and rank 0 may be waiting for it.
    MutexLock lock(mutex_);
    Tell(std::move(result));
  }
  EndUnit();
}

void RankSource::Tell(UnitResult result) {
  events_.results.push_back(std::move(result));
  has_news_ = true;
  news_.NotifyAll();
}

void RankSource::TakeSettled(std::span<WrittenUnit> batch) {
  const absl::Status taken = Guarded([&] {
    MutexLock lock(mutex_);
    for (WrittenUnit& written : batch) {
      if (written.status.ok()) Tell(std::move(written.result));
    }
  });
  if (!taken.ok()) FailWith(taken);
  for (const WrittenUnit& written : batch) {
    if (!written.status.ok()) FailWith(written.status);
  }
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
  batcher_.Hurry();
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
  batcher_.Stop();
  batcher_.SettleRest();
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
