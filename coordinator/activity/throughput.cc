#include "coordinator/activity/throughput.h"

#include <algorithm>
#include <utility>

namespace merganser {

History::History(WallTime begin, Duration step, std::vector<Moved> points)
    : begin_(begin), step_(std::max(step, kFirstStep)), points_(std::move(points)) {
  if (points_.size() > kPoints) points_.resize(kPoints);
}

void History::Note(Duration at, const Moved& totals) {
  if (at < Duration::zero()) return;
  auto place = static_cast<size_t>(at / step_);
  while (place >= kPoints) {
    // Point i of the new step is point 2i of the old one.
    size_t kept = 0;
    for (size_t i = 0; i < points_.size(); i += 2) points_[kept++] = points_[i];
    points_.resize(kept);
    step_ *= 2;
    place = static_cast<size_t>(at / step_);
  }
  if (place < points_.size()) return;  // this step has its point
  points_.resize(place + 1, totals);
}

void History::End(Duration at, const Moved& totals) {
  Note(at, totals);
  if (!points_.empty()) points_.back() = totals;
}

int64_t RecentRates::StepOf(MonotonicTime time) { return time.time_since_epoch() / kStep; }

void RecentRates::Advance(int64_t step) {
  if (!any_) {
    any_ = true;
    newest_ = oldest_ = step;
    return;
  }
  if (step - newest_ >= static_cast<int64_t>(kSteps)) {
    steps_.fill({});
    newest_ = step;
  }
  while (newest_ < step) steps_[static_cast<size_t>(++newest_) % kSteps] = {};
}

void RecentRates::Add(MonotonicTime now, Duration took, const Moved& moved) {
  const int64_t last = StepOf(now);
  const int64_t reach = static_cast<int64_t>(kSteps) - 1;
  const int64_t first = std::max(last - reach, StepOf(now - std::max(took, Duration::zero())));
  Advance(last);
  oldest_ = std::min(oldest_, first);
  const auto count = static_cast<uint64_t>(last - first + 1);
  Moved share = {moved.bytes_read / count, moved.bytes_written / count, moved.units_done / count};
  for (int64_t step = first; step < last; ++step) {
    if (step <= newest_ - static_cast<int64_t>(kSteps) || step < 0) continue;
    steps_[static_cast<size_t>(step) % kSteps] += share;
  }
  // What division left goes to the last one.
  steps_[static_cast<size_t>(last) % kSteps] +=
      {moved.bytes_read - share.bytes_read * (count - 1),
       moved.bytes_written - share.bytes_written * (count - 1),
       moved.units_done - share.units_done * (count - 1)};
}

std::vector<Moved> RecentRates::Steps(MonotonicTime now) const {
  std::vector<Moved> steps(kSteps);
  if (!any_) return steps;
  const int64_t last = StepOf(now);
  for (size_t i = 0; i < kSteps; ++i) {
    const int64_t step = last - static_cast<int64_t>(kSteps - 1 - i);
    const bool kept = step <= newest_ && step > newest_ - static_cast<int64_t>(kSteps);
    if (kept && step >= oldest_) steps[i] = steps_[static_cast<size_t>(step) % kSteps];
  }
  return steps;
}

Rates RecentRates::LastMinute(MonotonicTime now) const {
  if (!any_) return {};
  const std::vector<Moved> steps = Steps(now);
  Moved sum;
  for (size_t i = kSteps - kMinute; i < kSteps; ++i) sum += steps[i];
  // The last step has only begun.
  const MonotonicTime begin(std::max(StepOf(now) - static_cast<int64_t>(kMinute) + 1, oldest_) *
                            kStep);
  const double seconds = std::max(std::chrono::duration<double>(now - begin).count(),
                                  std::chrono::duration<double>(kStep).count());
  return {static_cast<double>(sum.bytes_read) / seconds,
          static_cast<double>(sum.bytes_written) / seconds};
}

}  // namespace merganser
