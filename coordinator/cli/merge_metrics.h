// How far a merge of this process, or of this run of MPI, is.
#ifndef MERGANSER_COORDINATOR_CLI_MERGE_METRICS_H_
#define MERGANSER_COORDINATOR_CLI_MERGE_METRICS_H_

#include <functional>
#include <memory>

#include "common/base/metrics.h"
#include "common/engine/rounds.h"
#include "worker/round_feed.h"

namespace merganser::cli {

// Tells it in `registry` as long as it lives, and once more when it goes.
class MergeMetrics {
 public:
  // `progress` may be called from any thread.
  MergeMetrics(std::shared_ptr<MetricRegistry> registry, const TotalWork& total,
               std::function<RunProgress()> progress);
  ~MergeMetrics();
  MergeMetrics(const MergeMetrics&) = delete;
  MergeMetrics& operator=(const MergeMetrics&) = delete;

 private:
  void Tell();

  const std::shared_ptr<MetricRegistry> registry_;
  const std::function<RunProgress()> progress_;
  Gauge& done_bytes_;
  Gauge& done_units_;
  MetricRegistry::Collector collector_;
};

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MERGE_METRICS_H_
