// What a process counts about itself, for whoever watches it: counters, gauges and histograms,
// with labels, in a registry that is handed around. Nothing here is static, and nothing knows how
// the numbers are shown (exposition.h).
//
// Names are checked when a metric is registered (metric_names.h).
#ifndef MERGANSER_COMMON_BASE_METRICS_H_
#define MERGANSER_COMMON_BASE_METRICS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/metric_names.h"
#include "common/base/mutex.h"

namespace merganser {

// Only rises. Thread-safe; an addition is one atomic instruction, on a cache line of its own.
class alignas(64) Counter {
 public:
  void Add(uint64_t amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  // Of a counter in nanoseconds (MetricUnit). A negative one counts as none.
  void Add(Duration time) { Add(time.count() > 0 ? static_cast<uint64_t>(time.count()) : 0); }
  void operator++() { Add(1); }
  void operator+=(uint64_t amount) { Add(amount); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

// Goes up and down. Thread-safe.
class alignas(64) Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

// How often what was observed lay in which range. Thread-safe: no lock, a handful of comparisons
// and two atomic additions.
class Histogram {
 public:
  // Upper ends of its ranges, ascending, in what is observed; one more has no end.
  explicit Histogram(std::vector<uint64_t> ends);

  void Observe(uint64_t amount);
  // Of a histogram in nanoseconds. A negative one counts as none.
  void Observe(Duration time) {
    Observe(time.count() > 0 ? static_cast<uint64_t>(time.count()) : 0);
  }

  // Observations in each range, the one without an end last. What is observed meanwhile may or
  // may not be in it.
  std::vector<uint64_t> counts() const;
  // Of all that was observed.
  uint64_t sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  const std::vector<uint64_t> ends_;
  std::vector<std::atomic<uint64_t>> counts_;
  alignas(64) std::atomic<uint64_t> sum_ = 0;
};

// What one step of a counter, or of what a histogram observes, is in the unit of its name.
enum class MetricUnit {
  kOne,          // itself
  kNanoseconds,  // of a name in seconds
};

// One series at one moment, in the unit of its name.
struct MetricSample {
  std::vector<std::string> labels;  // values, in the order of MetricFamily::labels
  double value = 0;                 // of a counter or gauge
  std::vector<uint64_t> counts;     // of a histogram: in each range, none added up
  double sum = 0;                   // of a histogram
};

// One metric at one moment.
struct MetricFamily {
  std::string name;
  std::string help;
  MetricKind kind = MetricKind::kCounter;
  std::vector<std::string> labels;  // names
  std::vector<double> ends;         // of a histogram's ranges, but the last
  std::vector<MetricSample> samples;
};

// Which series are told of.
enum class Told {
  kAll,    // also those in which nothing happened: for a handful
  kMoved,  // only those that are not 0: where most combinations of labels never come to be
};

// All series of a metric with labels. `At` takes the index of each label's value, in the order in
// which the values were declared; one out of range is taken for the last. Thread-safe.
template <typename Metric>
class MetricSeries {
 public:
  Metric& At(std::initializer_list<size_t> indices) const {
    size_t at = 0, label = 0;
    for (const size_t index : indices) {
      if (label == sizes_.size()) break;
      at = at * sizes_[label] + (index < sizes_[label] ? index : sizes_[label] - 1);
      ++label;
    }
    return *series_[at < series_.size() ? at : series_.size() - 1];
  }

 private:
  friend class MetricRegistry;
  std::vector<size_t> sizes_;  // how many values each label has
  std::vector<std::unique_ptr<Metric>> series_;
};

// All metrics of a process, or of one side of it. What is registered is counted as long as the
// registry lives: whoever counts holds the registry too. Thread-safe.
//
// Registering what is there already, with the same kind, labels and ends, gives the same one. What
// breaks a rule is our own mistake, and no reason for a merge to end: it is counted, never told
// of, and problems() says so.
class MetricRegistry {
 public:
  MetricRegistry() = default;
  MetricRegistry(const MetricRegistry&) = delete;
  MetricRegistry& operator=(const MetricRegistry&) = delete;

  // `help` says in one sentence what is counted.
  const MetricSeries<Counter>& Counters(std::string_view name, std::string_view help,
                                        std::vector<MetricLabel> labels,
                                        MetricUnit unit = MetricUnit::kOne, Told told = Told::kAll);
  const MetricSeries<Gauge>& Gauges(std::string_view name, std::string_view help,
                                    std::vector<MetricLabel> labels);
  // `ends` as Histogram has them: ascending, one at least.
  const MetricSeries<Histogram>& Histograms(std::string_view name, std::string_view help,
                                            std::vector<MetricLabel> labels,
                                            std::vector<uint64_t> ends, MetricUnit unit,
                                            Told told = Told::kAll);
  // Without labels.
  Counter& OneCounter(std::string_view name, std::string_view help,
                      MetricUnit unit = MetricUnit::kOne) {
    return Counters(name, help, {}, unit).At({});
  }
  Gauge& OneGauge(std::string_view name, std::string_view help) {
    return Gauges(name, help, {}).At({});
  }

  // Called at the beginning of every Snapshot, one at a time, to set gauges whose values lie
  // elsewhere; until the handle that it returns is gone, after which it is not running either. It
  // may not use the registry. The registry outlives the handle.
  class Collector {
   public:
    Collector() = default;
    Collector(Collector&& other) noexcept;
    Collector& operator=(Collector&& other) noexcept;
    ~Collector();

   private:
    friend class MetricRegistry;
    MetricRegistry* registry_ = nullptr;
    uint64_t id_ = 0;
  };
  [[nodiscard]] Collector Collect(std::function<void()> collect) MERGANSER_EXCLUDES(collecting_);

  // All metrics, by name, and of each the series in the order of their labels' values.
  std::vector<MetricFamily> Snapshot() const MERGANSER_EXCLUDES(collecting_, mutex_);

  // What was registered against the rules, one line each. A program has none: tests look.
  std::vector<std::string> problems() const MERGANSER_EXCLUDES(mutex_);

 private:
  struct Family {
    MetricKind kind = MetricKind::kCounter;
    std::string help;
    std::vector<MetricLabel> labels;
    std::vector<uint64_t> ends;
    MetricUnit unit = MetricUnit::kOne;
    Told told = Told::kAll;
    bool shown = true;
    MetricSeries<Counter> counters;      // of kCounter
    MetricSeries<Gauge> gauges;          // of kGauge
    MetricSeries<Histogram> histograms;  // of kHistogram
  };
  Family& Register(std::string_view name, Family family) MERGANSER_EXCLUDES(mutex_);
  static MetricFamily TellOf(const std::string& name, const Family& family);

  mutable Mutex mutex_;
  std::map<std::string, Family, std::less<>> families_ MERGANSER_GUARDED_BY(mutex_);
  std::deque<Family> hidden_ MERGANSER_GUARDED_BY(mutex_);  // that broke a rule
  std::vector<std::string> problems_ MERGANSER_GUARDED_BY(mutex_);
  mutable Mutex collecting_;  // before mutex_
  std::map<uint64_t, std::function<void()>> collectors_ MERGANSER_GUARDED_BY(collecting_);
  uint64_t next_collector_ MERGANSER_GUARDED_BY(collecting_) = 0;
};

// Ends of ranges for what takes a millisecond or minutes, in nanoseconds.
std::vector<uint64_t> LatencyEnds();

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_METRICS_H_
