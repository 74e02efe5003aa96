#include "coordinator/cli/metrics_flags.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/cli/metrics_file.h"

namespace merganser::cli {

void AddMetricsFlags(CLI::App& command, MetricsFlags& flags) {
  CLI::Option* file = command.add_option(
      "--metrics-file", flags.file,
      "File, such as /var/lib/prometheus/node-exporter/merge.prom, in which metrics are told every "
      "10 seconds and at the end");
  command
      .add_option_function<std::vector<std::string>>(
          "--metrics-label",
          [&labels = flags.labels](const std::vector<std::string>& given) {
            for (const std::string& text : given) {
              const absl::Status added = AddCommonLabel(text, labels);
              if (!added.ok()) {
                throw CLI::ValidationError("--metrics-label", std::string(added.message()));
              }
            }
          },
          "NAME=VALUE that all of them get: it tells processes of one machine apart. May be given "
          "again")
      ->expected(1)
      ->take_all()
      ->needs(file);
  // For tests, and so not among those that are listed.
  command
      .add_option_function<double>(
          "--metrics-every",
          [&period = flags.period](double seconds) {
            period = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
          })
      ->check(CLI::Range(0.01, 86400.0))
      ->group("");
}

}  // namespace merganser::cli
