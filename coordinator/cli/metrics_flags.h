// The flags of --metrics-file.
#ifndef MERGANSER_COORDINATOR_CLI_METRICS_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_METRICS_FLAGS_H_

#include <chrono>
#include <string>

#include "common/base/clock.h"
#include "common/base/exposition.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

struct MetricsFlags {
  std::string file = {};     // empty: none
  CommonLabels labels = {};  // of all series in it
  Duration period = std::chrono::seconds(10);
};

// --metrics-file and --metrics-label.
void AddMetricsFlags(CLI::App& command, MetricsFlags& flags);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_METRICS_FLAGS_H_
