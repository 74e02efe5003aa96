#include "common/storage/http/retry.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace merganser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(RetryBudgetTest, EndsUnderAStormAndIsFilledBySuccesses) {
  RetryBudget budget(20);
  int tries = 0;
  while (budget.Take()) ++tries;
  EXPECT_EQ(tries, 4);
  for (int i = 0; i < 4; ++i) budget.Succeeded();
  EXPECT_FALSE(budget.Take());
  budget.Succeeded();
  EXPECT_TRUE(budget.Take());
  for (int i = 0; i < 1000; ++i) budget.Succeeded();
  tries = 0;
  while (budget.Take()) ++tries;
  EXPECT_EQ(tries, 4);
}

TEST(JitteredWaitTest, IsAnythingUpToABoundThatDoubles) {
  std::mt19937_64 random(5);
  for (const int tries : {0, 1, 2, 3, 8, 20}) {
    const Duration most = std::min<Duration>(
        milliseconds(100) * (1 << std::min(tries - (tries > 0), 10)), seconds(20));
    Duration longest{}, shortest = seconds(100);
    for (int i = 0; i < 2000; ++i) {
      const Duration wait = JitteredWait(tries, random);
      longest = std::max(longest, wait);
      shortest = std::min(shortest, wait);
    }
    EXPECT_LE(longest, most);
    EXPECT_GT(longest, most * 9 / 10);
    EXPECT_LT(shortest, most / 10);
  }
}

TEST(InFlightLimitTest, FallsWhenTheStoreSaysSoAndRisesAgain) {
  InFlightLimit limit(64);
  const MonotonicTime start(seconds(100));
  limit.SlowDown(start);
  const uint32_t once = limit.allowed();
  EXPECT_LT(once, 50u);
  limit.SlowDown(start + milliseconds(50));  // of the same burst
  EXPECT_EQ(limit.allowed(), once);
  for (int i = 1; i < 100; ++i) limit.SlowDown(start + seconds(i));
  EXPECT_EQ(limit.allowed(), 1u);
  EXPECT_EQ(limit.Take(10), 1u);
  limit.GiveBack(1);
  for (int i = 0; i < 5000; ++i) limit.Succeeded();
  EXPECT_EQ(limit.allowed(), 64u);
  EXPECT_EQ(limit.Take(10), 10u);
  EXPECT_EQ(limit.Take(100), 54u);
  limit.GiveBack(64);
}

}  // namespace
}  // namespace merganser
