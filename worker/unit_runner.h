// Runs units: read, analyze, apply and write overlap, under a memory budget.
#ifndef MERGANSER_WORKER_UNIT_RUNNER_H_
#define MERGANSER_WORKER_UNIT_RUNNER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "worker/process_memory.h"  // of what `memory` excludes
#include "worker/unit_source.h"

namespace merganser {

struct RunnerOptions {
  int threads = 1;                      // that compute
  uint64_t memory = uint64_t{8} << 30;  // bytes: inputs, outputs and workspace together
  std::string worker;                   // name in results
  // Where the run is counted (worker_metrics.h); null: nowhere.
  std::shared_ptr<MetricRegistry> metrics = nullptr;
};

// Takes units from `source` until it has none. A unit that needs more than
// `options.memory` fails as kResourceExhausted and says how much it needs. Units
// that fail are reported to the source and the run goes on; the result is an
// error only when the source itself fails.
absl::Status RunUnits(UnitSource& source, const RunnerOptions& options);

}  // namespace merganser

#endif  // MERGANSER_WORKER_UNIT_RUNNER_H_
