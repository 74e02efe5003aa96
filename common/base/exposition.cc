#include "common/base/exposition.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace merganser {
namespace {

prometheus::MetricType TypeOf(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return prometheus::MetricType::Counter;
    case MetricKind::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricKind::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric::Histogram Ranges(const MetricFamily& family, const MetricSample& sample) {
  prometheus::ClientMetric::Histogram histogram;
  uint64_t below = 0;
  for (size_t i = 0; i < sample.counts.size(); ++i) {
    below += sample.counts[i];
    const bool last = i >= family.ends.size();
    histogram.bucket.push_back(
        {below, last ? std::numeric_limits<double>::infinity() : family.ends[i]});
  }
  histogram.sample_count = below;
  histogram.sample_sum = sample.sum;
  return histogram;
}

prometheus::MetricFamily FamilyOf(const MetricFamily& family, const CommonLabels& labels) {
  prometheus::MetricFamily told;
  told.name = family.name;
  told.help = family.help;
  told.type = TypeOf(family.kind);
  for (const MetricSample& sample : family.samples) {
    prometheus::ClientMetric& metric = told.metric.emplace_back();
    for (size_t i = 0; i < family.labels.size(); ++i) {
      metric.label.push_back({family.labels[i], sample.labels[i]});
    }
    for (const auto& [name, value] : labels) metric.label.push_back({name, value});
    switch (family.kind) {
      case MetricKind::kCounter:
        metric.counter.value = sample.value;
        break;
      case MetricKind::kGauge:
        metric.gauge.value = sample.value;
        break;
      case MetricKind::kHistogram:
        metric.histogram = Ranges(family, sample);
        break;
    }
  }
  return told;
}

}  // namespace

std::string MetricsText(const MetricRegistry& registry, const CommonLabels& labels) {
  std::vector<prometheus::MetricFamily> families;
  for (const MetricFamily& family : registry.Snapshot()) {
    if (!family.samples.empty()) families.push_back(FamilyOf(family, labels));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace merganser
