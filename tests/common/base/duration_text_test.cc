#include "common/base/duration_text.h"

#include <limits>

#include "gtest/gtest.h"

namespace merganser {
namespace {

TEST(DurationTextTest, TwoDigitsThenTwoUnits) {
  EXPECT_EQ(DurationText(0), "0 s");
  EXPECT_EQ(DurationText(-1), "0 s");
  EXPECT_EQ(DurationText(1e-6), "1 ms");
  EXPECT_EQ(DurationText(0.05), "50 ms");
  EXPECT_EQ(DurationText(0.25), "0.25 s");
  EXPECT_EQ(DurationText(4.12), "4.1 s");
  EXPECT_EQ(DurationText(9.94), "9.9 s");
  EXPECT_EQ(DurationText(9.96), "10 s");
  EXPECT_EQ(DurationText(48.3), "48 s");
  EXPECT_EQ(DurationText(59.6), "1 min");
  EXPECT_EQ(DurationText(151), "2 min 31 s");
  EXPECT_EQ(DurationText(4200), "1 h 10 min");
  EXPECT_EQ(DurationText(273600), "3 d 4 h");
  EXPECT_EQ(DurationText(std::numeric_limits<double>::quiet_NaN()), "0 s");
  EXPECT_EQ(DurationText(std::numeric_limits<double>::infinity()), "11574 d 2 h");
}

TEST(DurationTextTest, WhatIsLeftIsRounded) {
  EXPECT_EQ(TimeLeftText(0), "a few seconds");
  EXPECT_EQ(TimeLeftText(9.9), "a few seconds");
  EXPECT_EQ(TimeLeftText(10), "about 10 s");
  EXPECT_EQ(TimeLeftText(63), "about 65 s");
  EXPECT_EQ(TimeLeftText(117), "about 115 s");
  EXPECT_EQ(TimeLeftText(118), "about 2 min");
  EXPECT_EQ(TimeLeftText(3180), "about 53 min");
  EXPECT_EQ(TimeLeftText(3580), "about 1 h");
  EXPECT_EQ(TimeLeftText(9200), "about 2 h 35 min");
  EXPECT_EQ(TimeLeftText(std::numeric_limits<double>::quiet_NaN()), "a few seconds");
}

}  // namespace
}  // namespace merganser
