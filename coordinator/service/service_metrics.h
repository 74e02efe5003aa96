// What a coordinator tells of its jobs, units and workers, in numbers.
#ifndef MERGANSER_COORDINATOR_SERVICE_SERVICE_METRICS_H_
#define MERGANSER_COORDINATOR_SERVICE_SERVICE_METRICS_H_

#include <memory>

#include "common/base/metrics.h"
#include "common/engine/unit_result.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_counts.h"

namespace merganser {

// Thread-safe; counting takes no lock.
class ServiceMetrics {
 public:
  // Null: a registry that nobody looks at.
  explicit ServiceMetrics(std::shared_ptr<MetricRegistry> registry);

  MetricRegistry& registry() const { return *registry_; }

  // A job came to `state`, which is terminal.
  void JobEnded(JobState state) const;
  // A result came that counts.
  void UnitCompleted(const UnitResult& result) const;
  // A lease ended without a result: its worker said that the unit failed, or it was lost.
  void LeaseFailed(bool reported) const;
  // What is set anew each time that metrics are told.
  void Show(const JobCounts& counts) const;

 private:
  const std::shared_ptr<MetricRegistry> registry_;
  const MetricSeries<Counter>& jobs_ended_;
  Counter& units_completed_;
  Counter& input_bytes_;
  Counter& output_bytes_;
  const MetricSeries<Counter>& stages_;
  Counter& leases_failed_;
  Counter& leases_lost_;
  const MetricSeries<Gauge>& jobs_;
  Gauge& oldest_queued_;
  const MetricSeries<Gauge>& units_;
  Gauge& workers_;
  Gauge& longest_quiet_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_SERVICE_METRICS_H_
