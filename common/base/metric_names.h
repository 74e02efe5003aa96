// What a metric may be called: Prometheus' conventions
// (https://prometheus.io/docs/practices/naming/), as far as a program can hold a name against them.
//
// "merganser_", lower case, base units (seconds, bytes), "_total" for counters. Labels have values
// that are known beforehand, so that no input makes series without end; of a job, a file or a
// person none ever tells.
#ifndef MERGANSER_COMMON_BASE_METRIC_NAMES_H_
#define MERGANSER_COMMON_BASE_METRIC_NAMES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace merganser {

enum class MetricKind { kCounter, kGauge, kHistogram };

// A label, and all values that it can have.
struct MetricLabel {
  std::string name;
  std::vector<std::string> values;
};

// Whether a metric may be called so, and have these labels: kInvalidArgument says what is wrong
// with it, with what was found and expected.
absl::Status CheckMetric(std::string_view name, std::string_view help, MetricKind kind,
                         const std::vector<MetricLabel>& labels);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_METRIC_NAMES_H_
