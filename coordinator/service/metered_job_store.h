// How long what outlives a moment takes to be put down.
#ifndef MERGANSER_COORDINATOR_SERVICE_METERED_JOB_STORE_H_
#define MERGANSER_COORDINATOR_SERVICE_METERED_JOB_STORE_H_

#include <memory>
#include <optional>

#include "common/base/metrics.h"
#include "coordinator/service/forwarding_job_store.h"

namespace merganser {

// Counts the calls of `store` that may wait for a disk in `registry`. As thread-safe as the store.
class MeteredJobStore final : public ForwardingJobStore {
 public:
  MeteredJobStore(JobStore& store, std::shared_ptr<MetricRegistry> registry);

 private:
  absl::Status Around(JobStoreOp op, std::optional<JobState> state, Work work) override;

  const std::shared_ptr<MetricRegistry> registry_;
  const MetricSeries<Counter>& requests_;
  const MetricSeries<Histogram>& seconds_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_METERED_JOB_STORE_H_
