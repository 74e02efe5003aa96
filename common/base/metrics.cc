#include "common/base/metrics.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

size_t SeriesOf(const std::vector<MetricLabel>& labels) {
  size_t series = 1;
  for (const MetricLabel& label : labels) series *= std::max<size_t>(label.values.size(), 1);
  return series;
}

bool Same(const std::vector<MetricLabel>& a, const std::vector<MetricLabel>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const MetricLabel& one, const MetricLabel& other) {
                      return one.name == other.name && one.values == other.values;
                    });
}

double InUnit(uint64_t amount, MetricUnit unit) {
  const auto value = static_cast<double>(amount);
  return unit == MetricUnit::kNanoseconds ? value / 1e9 : value;
}

uint64_t Total(const std::vector<uint64_t>& counts) {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  return total;
}

// The labels' values of series `at`: the last label's go round first, as MetricSeries::At has it.
std::vector<std::string> ValuesOf(const std::vector<MetricLabel>& labels, size_t at) {
  std::vector<std::string> values(labels.size());
  for (size_t i = labels.size(); i-- > 0;) {
    const std::vector<std::string>& all = labels[i].values;
    if (all.empty()) continue;
    values[i] = all[at % all.size()];
    at /= all.size();
  }
  return values;
}

}  // namespace

Histogram::Histogram(std::vector<uint64_t> ends)
    : ends_(std::move(ends)), counts_(ends_.size() + 1) {}

void Histogram::Observe(uint64_t amount) {
  const auto range = std::lower_bound(ends_.begin(), ends_.end(), amount) - ends_.begin();
  counts_[static_cast<size_t>(range)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(amount, std::memory_order_relaxed);
}

std::vector<uint64_t> Histogram::counts() const {
  std::vector<uint64_t> counts;
  counts.reserve(counts_.size());
  for (const std::atomic<uint64_t>& count : counts_) {
    counts.push_back(count.load(std::memory_order_relaxed));
  }
  return counts;
}

MetricRegistry::Family& MetricRegistry::Register(std::string_view name, Family family) {
  absl::Status fits = CheckMetric(name, family.help, family.kind, family.labels);
  if (fits.ok() && family.kind == MetricKind::kHistogram &&
      (family.ends.empty() ||
       !std::is_sorted(family.ends.begin(), family.ends.end(), std::less_equal<uint64_t>()))) {
    fits = absl::InvalidArgumentError(
        absl::StrCat("metric ", std::string(name), ": found ends of ranges that do not ascend"));
  }
  const size_t series = fits.ok() ? SeriesOf(family.labels) : 1;
  MutexLock lock(mutex_);
  if (const auto there = families_.find(name); fits.ok() && there != families_.end()) {
    Family& known = there->second;
    if (known.kind == family.kind && known.ends == family.ends && known.unit == family.unit &&
        Same(known.labels, family.labels)) {
      return known;
    }
    fits = absl::AlreadyExistsError(absl::StrCat(
        "metric ", std::string(name), ": registered twice, with another kind, labels or ranges"));
  }
  if (!fits.ok()) {
    problems_.emplace_back(fits.message());
    // Whoever counts needs something to count with, of as many labels as it will name.
    family.labels.clear();
  }
  Family& made = fits.ok() ? families_.emplace(std::string(name), std::move(family)).first->second
                           : hidden_.emplace_back(std::move(family));
  for (const MetricLabel& label : made.labels) {
    const size_t values = std::max<size_t>(label.values.size(), 1);
    made.counters.sizes_.push_back(values);
    made.gauges.sizes_.push_back(values);
    made.histograms.sizes_.push_back(values);
  }
  for (size_t i = 0; i < (fits.ok() ? series : 1); ++i) {
    switch (made.kind) {
      case MetricKind::kCounter:
        made.counters.series_.push_back(std::make_unique<Counter>());
        break;
      case MetricKind::kGauge:
        made.gauges.series_.push_back(std::make_unique<Gauge>());
        break;
      case MetricKind::kHistogram:
        made.histograms.series_.push_back(std::make_unique<Histogram>(made.ends));
        break;
    }
  }
  return made;
}

const MetricSeries<Counter>& MetricRegistry::Counters(std::string_view name, std::string_view help,
                                                      std::vector<MetricLabel> labels,
                                                      MetricUnit unit, Told told) {
  Family family;
  family.kind = MetricKind::kCounter;
  family.help = help;
  family.labels = std::move(labels);
  family.unit = unit;
  family.told = told;
  return Register(name, std::move(family)).counters;
}

const MetricSeries<Gauge>& MetricRegistry::Gauges(std::string_view name, std::string_view help,
                                                  std::vector<MetricLabel> labels) {
  Family family;
  family.kind = MetricKind::kGauge;
  family.help = help;
  family.labels = std::move(labels);
  return Register(name, std::move(family)).gauges;
}

const MetricSeries<Histogram>& MetricRegistry::Histograms(std::string_view name,
                                                          std::string_view help,
                                                          std::vector<MetricLabel> labels,
                                                          std::vector<uint64_t> ends,
                                                          MetricUnit unit, Told told) {
  Family family;
  family.kind = MetricKind::kHistogram;
  family.help = help;
  family.labels = std::move(labels);
  family.ends = std::move(ends);
  family.unit = unit;
  family.told = told;
  return Register(name, std::move(family)).histograms;
}

MetricRegistry::Collector::Collector(Collector&& other) noexcept
    : registry_(std::exchange(other.registry_, nullptr)), id_(other.id_) {}

MetricRegistry::Collector& MetricRegistry::Collector::operator=(Collector&& other) noexcept {
  std::swap(registry_, other.registry_);
  std::swap(id_, other.id_);
  return *this;
}

MetricRegistry::Collector::~Collector() {
  if (registry_ == nullptr) return;
  MutexLock lock(registry_->collecting_);
  registry_->collectors_.erase(id_);
}

MetricRegistry::Collector MetricRegistry::Collect(std::function<void()> collect) {
  Collector collector;
  collector.registry_ = this;
  MutexLock lock(collecting_);
  collector.id_ = next_collector_++;
  collectors_.emplace(collector.id_, std::move(collect));
  return collector;
}

MetricFamily MetricRegistry::TellOf(const std::string& name, const Family& family) {
  MetricFamily told;
  told.name = name;
  told.help = family.help;
  told.kind = family.kind;
  for (const MetricLabel& label : family.labels) told.labels.push_back(label.name);
  for (const uint64_t end : family.ends) told.ends.push_back(InUnit(end, family.unit));
  const auto add = [&](size_t at, bool moved, MetricSample sample) {
    if (!moved && family.told == Told::kMoved) return;
    sample.labels = ValuesOf(family.labels, at);
    told.samples.push_back(std::move(sample));
  };
  for (size_t i = 0; i < family.counters.series_.size(); ++i) {
    const uint64_t value = family.counters.series_[i]->value();
    MetricSample sample;
    sample.value = InUnit(value, family.unit);
    add(i, value != 0, std::move(sample));
  }
  for (size_t i = 0; i < family.gauges.series_.size(); ++i) {
    MetricSample sample;
    sample.value = family.gauges.series_[i]->value();
    add(i, true, std::move(sample));
  }
  for (size_t i = 0; i < family.histograms.series_.size(); ++i) {
    const Histogram& histogram = *family.histograms.series_[i];
    MetricSample sample;
    sample.counts = histogram.counts();
    sample.sum = InUnit(histogram.sum(), family.unit);
    const bool moved = Total(sample.counts) != 0;
    add(i, moved, std::move(sample));
  }
  return told;
}

std::vector<MetricFamily> MetricRegistry::Snapshot() const {
  MutexLock one_at_a_time(collecting_);
  for (const auto& [id, collect] : collectors_) collect();
  MutexLock lock(mutex_);
  std::vector<MetricFamily> families;
  families.reserve(families_.size());
  for (const auto& [name, family] : families_) families.push_back(TellOf(name, family));
  return families;
}

std::vector<std::string> MetricRegistry::problems() const {
  MutexLock lock(mutex_);
  return problems_;
}

std::vector<uint64_t> LatencyEnds() {
  constexpr uint64_t kMillisecond = 1'000'000;
  std::vector<uint64_t> ends;
  for (const uint64_t scale : {1, 10, 100, 1'000, 10'000}) {
    for (const uint64_t step : {1, 2, 5}) ends.push_back(step * scale * kMillisecond);
  }
  return ends;
}

}  // namespace merganser
