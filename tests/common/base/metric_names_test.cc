#include "common/base/metric_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace merganser {
namespace {

using ::testing::HasSubstr;

const MetricLabel kStage{"stage", {"read", "write"}};
const MetricLabel kCode{"code", {"OK", "UNAVAILABLE", "INTERNAL"}};

TEST(CheckMetric, HoldsNamesAgainstPrometheusConventions) {
  const auto problem = [](std::string_view name, MetricKind kind) {
    return std::string(CheckMetric(name, "Help.", kind, {}).message());
  };
  EXPECT_EQ(problem("merganser_requests_total", MetricKind::kCounter), "");
  EXPECT_EQ(problem("merganser_queue_jobs", MetricKind::kGauge), "");
  EXPECT_EQ(problem("merganser_request_seconds", MetricKind::kHistogram), "");
  EXPECT_THAT(problem("requests_total", MetricKind::kCounter), HasSubstr("merganser_"));
  EXPECT_THAT(problem("merganser_requests", MetricKind::kCounter), HasSubstr("_total"));
  EXPECT_THAT(problem("merganser_queue_total", MetricKind::kGauge), HasSubstr("counters alone"));
  EXPECT_THAT(problem("merganser_Requests_total", MetricKind::kCounter), HasSubstr("lower-case"));
  EXPECT_THAT(problem("merganser__a_total", MetricKind::kCounter), HasSubstr("lower-case"));
  EXPECT_THAT(problem("merganser_wait_ms", MetricKind::kGauge), HasSubstr("base unit"));
  EXPECT_THAT(problem("merganser_read_mib_total", MetricKind::kCounter), HasSubstr("base unit"));
  EXPECT_THAT(problem("merganser_request_latency", MetricKind::kHistogram), HasSubstr("unit"));
  EXPECT_THAT(problem("merganser_unit_count", MetricKind::kGauge), HasSubstr("_count"));
  EXPECT_THAT(std::string(CheckMetric("merganser_a", "", MetricKind::kGauge, {}).message()),
              HasSubstr("sentence"));
}

TEST(CheckMetric, LabelsAreFewAndTheirValuesKnown) {
  const auto problem = [](std::vector<MetricLabel> labels) {
    return std::string(CheckMetric("merganser_a", "A.", MetricKind::kGauge, labels).message());
  };
  EXPECT_EQ(problem({kStage, kCode}), "");
  EXPECT_THAT(problem({{"stage", {}}}), HasSubstr("expected its values"));
  EXPECT_THAT(problem({{"stage", {"a", "a"}}}), HasSubstr("each once"));
  EXPECT_THAT(problem({kStage, kStage}), HasSubstr("twice"));
  EXPECT_THAT(problem({{"job", {"a"}}}), HasSubstr("label job"));
  EXPECT_THAT(problem({{"le", {"a"}}}), HasSubstr("label le"));
  MetricLabel many{"a", {}};
  for (int i = 0; i < 100; ++i) many.values.push_back(std::to_string(i));
  MetricLabel again = many;
  again.name = "b";
  EXPECT_THAT(problem({many, again}), HasSubstr("series"));
}

}  // namespace
}  // namespace merganser
