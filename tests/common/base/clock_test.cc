#include "common/base/clock.h"

#include <gtest/gtest.h>

#include <chrono>

namespace merganser {
namespace {

TEST(FormatWallTime, IsRfc3339InUtc) {
  EXPECT_EQ(FormatWallTime(WallTime(std::chrono::seconds(1769903999))), "2026-01-31T23:59:59Z");
  EXPECT_EQ(FormatWallTime(WallTime()), "1970-01-01T00:00:00Z");
}

TEST(FormatWallTime, RoundsDownOnBothSidesOfTheEpoch) {
  EXPECT_EQ(FormatWallTime(WallTime(std::chrono::milliseconds(1999))), "1970-01-01T00:00:01Z");
  EXPECT_EQ(FormatWallTime(WallTime(std::chrono::milliseconds(-1))), "1969-12-31T23:59:59Z");
}

}  // namespace
}  // namespace merganser
