#include "coordinator/service/library_log.h"

#include <chrono>
#include <optional>
#include <string>

#include "gtest/gtest.h"

namespace merganser {
namespace {

TEST(LineLimitTest, AFewLinesAMinutePassAndTheOthersAreCounted) {
  LineLimit limit;
  MonotonicTime now = MonotonicTime() + std::chrono::hours(1);
  size_t passed = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::optional<std::string> line = limit.Pass("line", now);
    if (line.has_value()) {
      EXPECT_EQ(*line, "line");
      ++passed;
    }
  }
  EXPECT_EQ(passed, LineLimit::kLinesAMinute);
  now += std::chrono::minutes(1);
  EXPECT_EQ(limit.Pass("line", now), "(994 lines of libraries were left out) line");
  EXPECT_EQ(limit.Pass("line", now), "line");
}

}  // namespace
}  // namespace merganser
