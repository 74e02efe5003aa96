#include "coordinator/cli/merge_metrics.h"

#include <utility>

namespace merganser::cli {

MergeMetrics::MergeMetrics(std::shared_ptr<MetricRegistry> registry, const TotalWork& total,
                           std::function<RunProgress()> progress)
    : registry_(std::move(registry)),
      progress_(std::move(progress)),
      done_bytes_(registry_->OneGauge("merganser_merge_done_bytes",
                                      "Bytes analyzed or written of the merge.")),
      done_units_(registry_->OneGauge("merganser_merge_done_units",
                                      "Units done of the merge, in all rounds.")) {
  registry_->OneGauge("merganser_merge_planned_bytes", "Bytes to analyze or write for the merge.")
      .Set(static_cast<double>(total.bytes));
  registry_->OneGauge("merganser_merge_planned_units", "Units of the merge, in all rounds.")
      .Set(static_cast<double>(total.units));
  collector_ = registry_->Collect([this] { Tell(); });
}

MergeMetrics::~MergeMetrics() { Tell(); }

void MergeMetrics::Tell() {
  const RunProgress progress = progress_();
  done_bytes_.Set(static_cast<double>(progress.bytes_done));
  done_units_.Set(static_cast<double>(progress.units_done));
}

}  // namespace merganser::cli
