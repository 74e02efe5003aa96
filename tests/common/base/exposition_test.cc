#include "common/base/exposition.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace merganser {
namespace {

TEST(MetricsText, IsPrometheusTextFormat) {
  MetricRegistry registry;
  registry.Counters("merganser_a_total", "What a is.", {{"code", {"OK", "INTERNAL"}}})
      .At({1})
      .Add(3);
  registry.OneGauge("merganser_b_bytes", "What b is.").Set(0.5);
  registry
      .Histograms("merganser_c_seconds", "What c is.", {}, {1'000'000, 2'000'000'000},
                  MetricUnit::kNanoseconds)
      .At({})
      .Observe(std::chrono::milliseconds(1500));
  EXPECT_EQ(MetricsText(registry),
            "# HELP merganser_a_total What a is.\n"
            "# TYPE merganser_a_total counter\n"
            "merganser_a_total{code=\"OK\"} 0\n"
            "merganser_a_total{code=\"INTERNAL\"} 3\n"
            "# HELP merganser_b_bytes What b is.\n"
            "# TYPE merganser_b_bytes gauge\n"
            "merganser_b_bytes 0.5\n"
            "# HELP merganser_c_seconds What c is.\n"
            "# TYPE merganser_c_seconds histogram\n"
            "merganser_c_seconds_count 1\n"
            "merganser_c_seconds_sum 1.5\n"
            "merganser_c_seconds_bucket{le=\"0.001\"} 0\n"
            "merganser_c_seconds_bucket{le=\"2\"} 1\n"
            "merganser_c_seconds_bucket{le=\"+Inf\"} 1\n");
}

TEST(MetricsText, EscapesWhatALabelHolds) {
  MetricRegistry registry;
  registry.Gauges("merganser_a", "A.", {{"what", {"a \"b\"\\\nc"}}});
  EXPECT_EQ(MetricsText(registry),
            "# HELP merganser_a A.\n# TYPE merganser_a gauge\n"
            "merganser_a{what=\"a \\\"b\\\"\\\\\\nc\"} 0\n");
}

TEST(MetricsText, GivesEverySeriesTheCommonLabels) {
  MetricRegistry registry;
  registry.Gauges("merganser_a", "A.", {{"what", {"x"}}});
  EXPECT_EQ(MetricsText(registry, {{"rank", "3"}}),
            "# HELP merganser_a A.\n# TYPE merganser_a gauge\n"
            "merganser_a{what=\"x\",rank=\"3\"} 0\n");
}

TEST(MetricsText, LeavesOutWhatHasNoSeries) {
  MetricRegistry registry;
  registry.Counters("merganser_a_total", "A.", {{"code", {"OK"}}}, MetricUnit::kOne, Told::kMoved);
  EXPECT_EQ(MetricsText(registry), "");
}

TEST(MetricsText, CountersKeepAllDigits) {
  MetricRegistry registry;
  registry.OneCounter("merganser_a_bytes_total", "A.").Add(uint64_t{1'234'567'890'123});
  EXPECT_EQ(MetricsText(registry),
            "# HELP merganser_a_bytes_total A.\n# TYPE merganser_a_bytes_total counter\n"
            "merganser_a_bytes_total 1234567890123\n");
}

}  // namespace
}  // namespace merganser
