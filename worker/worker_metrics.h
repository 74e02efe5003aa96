// What a process that does units tells of it, in numbers.
#ifndef MERGANSER_WORKER_WORKER_METRICS_H_
#define MERGANSER_WORKER_WORKER_METRICS_H_

#include <cstddef>
#include <memory>

#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/engine/unit_result.h"

namespace merganser {

// The stages of StageSeconds, in its order.
enum class Stage { kWait, kRead, kCompute, kWrite, kFlush };

// How a unit ended in this process.
enum class UnitEnd {
  kCompleted,
  kFailed,
  kDropped,  // its lease was lost, or its job over
};

// Makes these metrics in a registry, or finds them there: who counts may have an object of its own.
// Thread-safe; counting takes no lock.
class WorkerMetrics {
 public:
  // Null: a registry that nobody looks at.
  explicit WorkerMetrics(std::shared_ptr<MetricRegistry> registry);

  MetricRegistry& registry() const { return *registry_; }

  void Spent(Stage stage, Duration time) const {
    stages_.At({static_cast<size_t>(stage)}).Add(time);
  }
  void UnitBegan() const { in_flight_.Add(1); }
  // `took`: from its first read, of a unit that was completed.
  void UnitEnded(UnitEnd end, Duration took) const;

  Counter& input_bytes() const { return input_bytes_; }    // of segments that are through
  Counter& output_bytes() const { return output_bytes_; }  // of segments that are written
  Counter& solver_steps() const { return solver_steps_; }
  Gauge& memory_budget() const { return memory_budget_; }  // RunnerOptions::memory
  Gauge& memory_used() const { return memory_used_; }      // of it
  Gauge& threads() const { return threads_; }

 private:
  const std::shared_ptr<MetricRegistry> registry_;
  const MetricSeries<Counter>& stages_;
  const MetricSeries<Counter>& units_;
  Gauge& in_flight_;
  Histogram& unit_seconds_;
  Counter& input_bytes_;
  Counter& output_bytes_;
  Counter& solver_steps_;
  Gauge& memory_budget_;
  Gauge& memory_used_;
  Gauge& threads_;
};

// Adds the time until it goes to `seconds`, and to the metrics of the stage.
class StageTimer {
 public:
  StageTimer(const WorkerMetrics& metrics, Stage stage, double& seconds)
      : metrics_(metrics), stage_(stage), seconds_(seconds) {}
  ~StageTimer();
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  const WorkerMetrics& metrics_;
  const Stage stage_;
  double& seconds_;
  const MonotonicTime began_ = SystemClock().Now();
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_WORKER_METRICS_H_
