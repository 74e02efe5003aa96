#include "coordinator/cli/progress_meter.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/duration_text.h"
#include "common/base/format.h"

namespace merganser::cli {
namespace {

constexpr Duration kRateWindow = std::chrono::seconds(10);
constexpr Duration kLeftWindow = std::chrono::seconds(30);
constexpr Duration kLeftEvery = std::chrono::seconds(2);
constexpr Duration kUnknownFor = std::chrono::seconds(10);
constexpr uint64_t kUnitsToKnow = 3;
// What is shorter says more of the clock than of the storage.
constexpr double kLeastSeconds = 0.9;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

int Percent(uint64_t done, uint64_t total) {
  if (total == 0 || done >= total) return 100;
  // 100 is what is done.
  return std::min(99,
                  static_cast<int>(100 * (static_cast<double>(done) / static_cast<double>(total))));
}

}  // namespace

void ProgressMeter::Add(const ProgressSample& sample, MonotonicTime now) {
  // What begins again (uploads that were gone) has moved nothing yet.
  const bool again = sample.bytes_done < sample_.bytes_done;
  sample_ = sample;
  if (!sample.moves || again) {
    points_.clear();
    moving_since_.reset();
    left_.reset();
    if (!sample.moves) return;
  }
  if (!moving_since_.has_value()) {
    moving_since_ = now;
    units_before_ = sample.units_done;
  }
  points_.push_back({now, sample.bytes_done});
  // The point at the window's beginning stays.
  while (points_.size() > 2 && now - points_[1].time >= kLeftWindow) points_.pop_front();
  if (now - *moving_since_ < kUnknownFor || sample.units_done < units_before_ + kUnitsToKnow)
    return;
  if (left_.has_value() && now - left_at_ < kLeftEvery) return;
  const std::optional<double> rate = RateOver(kLeftWindow);
  left_.reset();
  if (!rate.has_value() || *rate <= 0) return;
  left_ =
      static_cast<double>(sample.bytes_total - std::min(sample.bytes_done, sample.bytes_total)) /
      *rate;
  left_at_ = now;
}

std::optional<double> ProgressMeter::rate() const { return RateOver(kRateWindow); }

std::optional<double> ProgressMeter::RateOver(Duration window) const {
  if (points_.size() < 2) return std::nullopt;
  const Point& last = points_.back();
  auto first = points_.begin();
  while (last.time - std::next(first)->time >= window && std::next(first, 2) != points_.end()) {
    ++first;
  }
  const double seconds = Seconds(last.time - first->time);
  if (seconds < kLeastSeconds) return std::nullopt;
  return static_cast<double>(last.bytes - first->bytes) / seconds;
}

std::string ProgressMeter::Line() const {
  std::string line = sample_.phase;
  const auto add = [&](const std::string& text) {
    absl::StrAppend(&line, line == sample_.phase ? ": " : ", ", text);
  };
  if (!sample_.waits.empty()) add(sample_.waits);
  if (!sample_.moves || sample_.units_total == 0) return line;
  const auto each_second = [](double bytes) {
    return absl::StrCat(FormatBytes(static_cast<uint64_t>(std::max(bytes, 0.0))), "/s");
  };
  if (sample_.pace.has_value() && sample_.pace->read + sample_.pace->written > 0) {
    add(absl::StrCat("reads ", each_second(sample_.pace->read)));
    add(absl::StrCat("writes ", each_second(sample_.pace->written)));
  } else if (const std::optional<double> rate = this->rate(); rate.has_value()) {
    add(each_second(*rate));
  }
  const std::optional<double> left = seconds_left();
  add(left.has_value() ? absl::StrCat(TimeLeftText(*left), " left") : "time left not known yet");
  add(absl::StrCat(FormatBytes(sample_.bytes_done), " of ", FormatBytes(sample_.bytes_total), " (",
                   Percent(sample_.bytes_done, sample_.bytes_total), " %)"));
  add(absl::StrCat("unit ", sample_.units_done, " of ", sample_.units_total));
  if (sample_.workers.has_value()) {
    add(absl::StrCat(*sample_.workers, *sample_.workers == 1 ? " worker" : " workers"));
  }
  if (sample_.pace.has_value() && !sample_.pace->diagnosis.empty() && sample_.waits.empty()) {
    absl::StrAppend(&line, "; ", sample_.pace->diagnosis);
  }
  return line;
}

}  // namespace merganser::cli
