#include "coordinator/cli/merge_metrics.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/base/exposition.h"

namespace merganser::cli {
namespace {

TEST(MergeMetrics, TellHowFarTheMergeIsAndWhereItEnded) {
  const auto registry = std::make_shared<MetricRegistry>();
  RunProgress progress;
  {
    const MergeMetrics metrics(registry, {.bytes = 1000, .units = 4}, [&] { return progress; });
    progress.bytes_done = 300;
    progress.units_done = 1;
    const std::string text = MetricsText(*registry);
    EXPECT_NE(text.find("merganser_merge_planned_bytes 1000\n"), text.npos) << text;
    EXPECT_NE(text.find("merganser_merge_planned_units 4\n"), text.npos) << text;
    EXPECT_NE(text.find("merganser_merge_done_bytes 300\n"), text.npos) << text;
    EXPECT_NE(text.find("merganser_merge_done_units 1\n"), text.npos) << text;
    progress.bytes_done = 1000;
    progress.units_done = 4;
  }
  const std::string text = MetricsText(*registry);
  EXPECT_NE(text.find("merganser_merge_done_bytes 1000\n"), text.npos) << text;
  EXPECT_EQ(registry->problems().size(), 0u);
}

}  // namespace
}  // namespace merganser::cli
