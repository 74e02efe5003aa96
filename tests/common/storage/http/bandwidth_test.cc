#include "common/storage/http/bandwidth.h"

#include <gtest/gtest.h>

#include <chrono>

namespace merganser {
namespace {

using std::chrono::milliseconds;

TEST(BandwidthLimitTest, WhatIsMovedTakesItsTime) {
  BandwidthLimit limit(1'000'000);
  const MonotonicTime start = MonotonicTime() + std::chrono::hours(1);
  EXPECT_EQ(limit.Take(500'000, start), Duration::zero());
  EXPECT_EQ(limit.Take(250'000, start), milliseconds(500));
  EXPECT_EQ(limit.Take(1, start + milliseconds(700)), milliseconds(50));
}

TEST(BandwidthLimitTest, TimeThatNobodyUsedIsNotKept) {
  BandwidthLimit limit(1'000'000);
  const MonotonicTime start = MonotonicTime() + std::chrono::hours(1);
  EXPECT_EQ(limit.Take(1'000'000, start), Duration::zero());
  const MonotonicTime later = start + std::chrono::minutes(10);
  EXPECT_EQ(limit.Take(1'000'000, later), Duration::zero());
  EXPECT_EQ(limit.Take(1'000'000, later), std::chrono::seconds(1));
}

TEST(BandwidthLimitTest, WithoutALimitNobodyWaits) {
  BandwidthLimit limit(0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.Take(~uint64_t{0}, {}), Duration::zero());
}

}  // namespace
}  // namespace merganser
