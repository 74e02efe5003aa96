#include "coordinator/activity/job_activity.h"

#include <algorithm>
#include <utility>

#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr Duration kMinute = std::chrono::minutes(1);
constexpr Duration kPointEvery = std::chrono::seconds(2);
constexpr Duration kBucket = std::chrono::seconds(5);
// Before these a rate is chance.
constexpr Duration kFirstSeconds = std::chrono::seconds(10);
constexpr uint64_t kFirstUnits = 3;
constexpr size_t kMedianOf = 99;
// What a unit before counts for when the next is done: the last five or so decide.
constexpr double kFade = 0.8;
constexpr size_t kLeastToCompare = 3;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

template <class Range>
double Median(const Range& range) {
  std::vector<double> values(range.begin(), range.end());
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

JobActivity::JobActivity(MonotonicTime now, WallTime wall, std::optional<History> earlier)
    : began_(now), moved_at_(now), history_(wall) {
  if (!earlier.has_value() || earlier->points().empty()) return;
  history_ = *std::move(earlier);
  // By the wall clock, which may have been set meanwhile: never before its last point.
  const Duration told = history_.step() * static_cast<int64_t>(history_.points().size());
  began_ = now - std::max<Duration>(wall - history_.begin(), told);
  // Until what is on record was counted.
  estimate_ = history_.points().back();
}

void JobActivity::BeginRound(const RoundProgress& round) {
  for (RoundProgress& there : rounds_) {
    if (there.number != round.number) continue;
    there.units_done -= std::min(there.units_done, round.units_total);
    there.bytes_done -= std::min(there.bytes_done, round.bytes_total);
    return;
  }
  rounds_.push_back(round);
}

void JobActivity::BeginAgain() {
  rounds_.clear();
  again_ = true;
}

void JobActivity::CountIn(const UnitResult& result, uint64_t bytes) {
  for (RoundProgress& round : rounds_) {
    if (round.number != result.round) continue;
    ++round.units_done;
    round.bytes_done += bytes;
  }
}

JobActivity::Share* JobActivity::Attribute(const UnitResult& result, std::string_view tensor) {
  if (slowest_.size() < kSlowest || result.seconds > slowest_.back().seconds) {
    const auto place = std::find_if(slowest_.begin(), slowest_.end(), [&](const SlowUnit& other) {
      return other.seconds < result.seconds;
    });
    slowest_.insert(
        place, {result.round, result.unit, result.seconds, result.worker, std::string(tensor)});
    if (slowest_.size() > kSlowest) slowest_.pop_back();
  }
  if (!workers_.contains(result.worker) && workers_.size() >= kMostWorkers) return nullptr;
  Share& share = workers_[result.worker];
  share.moved += {result.bytes_read, result.bytes_written, 1};
  return &share;
}

void JobActivity::Recorded(const UnitResult& result, std::string_view tensor, uint64_t bytes) {
  CountIn(result, bytes);
  if (again_) return;
  completed_ += {result.bytes_read, result.bytes_written, 1};
  stages_ += result.stages;
  Attribute(result, tensor);
}

void JobActivity::Completed(const UnitResult& result, std::string_view tensor, uint64_t bytes,
                            MonotonicTime now) {
  CountIn(result, bytes);
  completed_ += {result.bytes_read, result.bytes_written, 1};
  stages_ += result.stages;
  moved_at_ = now;
  ++done_here_;
  const int64_t step = now.time_since_epoch() / kBucket;
  StageBucket& bucket = buckets_[static_cast<size_t>(step) % buckets_.size()];
  if (bucket.step != step) bucket = {step, {}};
  bucket.seconds += result.stages;
  unit_seconds_.push_back(result.seconds);
  if (unit_seconds_.size() > kMedianOf) unit_seconds_.pop_front();
  Share* const share = Attribute(result, tensor);
  if (share == nullptr) return;
  share->bytes =
      kFade * share->bytes + static_cast<double>(result.bytes_read + result.bytes_written);
  share->seconds = kFade * share->seconds + std::max(result.seconds, 0.0);
}

void JobActivity::Troubled(const UnitTrouble& trouble, WallTime wall) {
  if (!workers_.contains(trouble.worker) && workers_.size() >= kMostWorkers) return;
  workers_[trouble.worker].last_trouble =
      NotedTrouble{wall, trouble.job, trouble.unit,
                   Cut(OneLine(std::string(trouble.why.message())), Fleet::kMostShown)};
}

void JobActivity::Sample(const JobBytes& place, MonotonicTime now) {
  // A unit in flight has read as much by byte done as those that are done.
  const RoundProgress* const round = rounds_.empty() ? nullptr : &rounds_.back();
  Moved estimate = completed_;
  total_ = place.bytes_total;
  if (round != nullptr) {
    if (round->analyzes) {
      estimate.bytes_read += place.in_flight;
    } else {
      const double ratio = completed_.bytes_written == 0
                               ? 0
                               : static_cast<double>(completed_.bytes_read) /
                                     static_cast<double>(completed_.bytes_written);
      estimate.bytes_written += place.in_flight;
      estimate.bytes_read += static_cast<uint64_t>(ratio * static_cast<double>(place.in_flight));
    }
  }
  // A lease that is lost takes its bytes back; what was told does not shrink.
  estimate_.bytes_read = std::max(estimate_.bytes_read, estimate.bytes_read);
  estimate_.bytes_written = std::max(estimate_.bytes_written, estimate.bytes_written);
  estimate_.units_done = std::max(estimate_.units_done, estimate.units_done);
  history_.Note(now - began_, estimate_);
  if (!points_.empty() && now - points_.back().time < kPointEvery) return;
  points_.push_back({now, estimate_, place.bytes_done});
  // One is kept that is older than a minute.
  while (points_.size() > 2 && now - points_[1].time >= kMinute) points_.pop_front();
}

void JobActivity::End(MonotonicTime now) {
  estimate_ = completed_;
  history_.End(now - began_, completed_);
}

const JobActivity::Point* JobActivity::MinuteAgo(MonotonicTime now) const {
  if (points_.empty() || now - points_.front().time < kFirstSeconds) return nullptr;
  return &points_.front();
}

Rates JobActivity::rates(MonotonicTime now) const {
  const Point* const from = MinuteAgo(now);
  if (from == nullptr) return {};
  const double seconds = Seconds(now - from->time);
  return {static_cast<double>(estimate_.bytes_read - from->moved.bytes_read) / seconds,
          static_cast<double>(estimate_.bytes_written - from->moved.bytes_written) / seconds};
}

std::optional<Duration> JobActivity::TimeLeft(MonotonicTime now) const {
  const Point* const from = MinuteAgo(now);
  if (from == nullptr || done_here_ < kFirstUnits) return std::nullopt;
  const Point& to = points_.back();
  const double seconds = Seconds(to.time - from->time);
  if (seconds <= 0 || to.done <= from->done) return std::nullopt;
  const double rate = static_cast<double>(to.done - from->done) / seconds;
  const double left = to.done >= total_ ? 0 : static_cast<double>(total_ - to.done) / rate;
  constexpr double kMost = 3650.0 * 24 * 3600;
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::clamp(left - Seconds(now - to.time), 0.0, kMost)));
}

StageSeconds JobActivity::StagesOfLastMinute(MonotonicTime now) const {
  const int64_t step = now.time_since_epoch() / kBucket;
  StageSeconds sum;
  for (const StageBucket& bucket : buckets_) {
    if (bucket.step >= 0 && step - bucket.step < static_cast<int64_t>(buckets_.size())) {
      sum += bucket.seconds;
    }
  }
  return sum;
}

double JobActivity::MedianUnitSeconds() const { return Median(unit_seconds_); }

std::vector<JobWorker> JobActivity::Workers() const {
  std::vector<JobWorker> workers;
  std::vector<double> rates;
  for (const auto& [name, share] : workers_) {
    JobWorker& worker = workers.emplace_back();
    worker.name = name;
    worker.moved = share.moved;
    worker.last_trouble = share.last_trouble;
    if (share.seconds <= 0) continue;
    worker.bytes_per_second = share.bytes / share.seconds;
    rates.push_back(worker.bytes_per_second);
  }
  const double median = Median(rates);
  for (JobWorker& worker : workers) {
    worker.straggles = rates.size() >= kLeastToCompare && worker.bytes_per_second > 0 &&
                       worker.bytes_per_second < median / 2;
  }
  std::stable_sort(workers.begin(), workers.end(), [](const JobWorker& a, const JobWorker& b) {
    if ((a.bytes_per_second > 0) != (b.bytes_per_second > 0)) return a.bytes_per_second > 0;
    return a.bytes_per_second < b.bytes_per_second;
  });
  return workers;
}

}  // namespace merganser
