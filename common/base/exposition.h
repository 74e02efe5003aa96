// Metrics as Prometheus reads them: text format 0.0.4, which a scrape and node_exporter's textfile
// collector both take.
#ifndef MERGANSER_COMMON_BASE_EXPOSITION_H_
#define MERGANSER_COMMON_BASE_EXPOSITION_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/metrics.h"

namespace merganser {

// Of the text that MetricsText returns, as HTTP has it.
inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// Labels that every series is given, name and value: they keep the series of processes apart whose
// files one collector reads. Names as CheckMetric takes a label's, none of a metric's own.
using CommonLabels = std::vector<std::pair<std::string, std::string>>;

// What `registry` tells at this moment; metrics without series are left out. Thread-safe.
std::string MetricsText(const MetricRegistry& registry, const CommonLabels& labels = {});

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_EXPOSITION_H_
