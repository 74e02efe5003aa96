#include "coordinator/activity/throughput.h"

#include <chrono>
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::SizeIs;

constexpr MonotonicTime kStart{hours(100)};

TEST(History, HasATotalForEveryStep) {
  History history(WallTime{});
  history.Note(seconds(0), {1, 0, 0});
  history.Note(seconds(1), {2, 0, 0});  // the same step: its first total stands
  history.Note(seconds(2), {3, 0, 0});
  history.Note(seconds(9), {5, 0, 0});  // nobody looked meanwhile
  EXPECT_THAT(history.points(), ElementsAre(Moved{1, 0, 0}, Moved{3, 0, 0}, Moved{5, 0, 0},
                                            Moved{5, 0, 0}, Moved{5, 0, 0}));
  EXPECT_EQ(history.step(), seconds(2));
}

TEST(History, EndsWithTheLastTotals) {
  History history(WallTime{});
  history.Note(seconds(0), {1, 0, 0});
  history.Note(seconds(2), {3, 0, 0});
  history.End(seconds(3), {4, 4, 1});  // in a step that has its point
  EXPECT_THAT(history.points(), ElementsAre(Moved{1, 0, 0}, Moved{4, 4, 1}));
  history.End(seconds(4), {5, 5, 2});
  EXPECT_EQ(history.points().back(), (Moved{5, 5, 2}));
}

TEST(History, AnyLengthOfTimeFits) {
  History history(WallTime{});
  // One byte a second, for a week.
  for (int64_t second = 0; second < 7 * 24 * 3600; second += 7) {
    history.Note(seconds(second), {static_cast<uint64_t>(second), 0, 0});
    ASSERT_LE(history.points().size(), History::kPoints);
  }
  const auto& points = history.points();
  EXPECT_GT(points.size(), History::kPoints / 2);
  for (size_t i = 0; i < points.size(); ++i) {
    // A point is a total that was seen within its step.
    const double due =
        std::chrono::duration<double>(history.step()).count() * static_cast<double>(i);
    EXPECT_NEAR(static_cast<double>(points[i].bytes_read), due,
                std::chrono::duration<double>(history.step()).count())
        << i;
  }
}

TEST(History, APauseOfDaysIsNoLoop) {
  History history(WallTime{});
  history.Note(seconds(1), {1, 0, 0});
  history.Note(hours(24 * 365 * 50), {2, 0, 0});
  EXPECT_LE(history.points().size(), History::kPoints);
  EXPECT_EQ(history.points().back().bytes_read, 2u);
}

TEST(RecentRates, SpreadsWhatWasMovedOverTheTimeThatItTook) {
  RecentRates rates;
  rates.Add(kStart, seconds(30), {400, 40, 1});
  const std::vector<Moved> steps = rates.Steps(kStart);
  ASSERT_THAT(steps, SizeIs(RecentRates::kSteps));
  // Four stretches share it: that of kStart has only begun.
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(steps[RecentRates::kSteps - 4 + i].bytes_read, 100u);
  EXPECT_EQ(steps[RecentRates::kSteps - 5].bytes_read, 0u);
  EXPECT_EQ(steps.back().units_done, 1u);
}

TEST(RecentRates, LosesNothingThatIsYoungEnough) {
  RecentRates rates;
  for (int i = 0; i < 50; ++i)
    rates.Add(kStart + seconds(10 * i), seconds(7 * i % 40), {101, 7, 1});
  const std::vector<Moved> steps = rates.Steps(kStart + seconds(499));
  const Moved sum =
      std::accumulate(steps.begin(), steps.end(), Moved(), [](Moved a, const Moved& b) {
        a += b;
        return a;
      });
  EXPECT_EQ(sum, (Moved{5050, 350, 50}));
}

TEST(RecentRates, ARateIsOfTheLastMinute) {
  RecentRates rates;
  EXPECT_EQ(rates.LastMinute(kStart).read, 0);
  for (int i = 0; i < 120; ++i) rates.Add(kStart + seconds(i), seconds(1), {1000, 500, 1});
  const Rates now = rates.LastMinute(kStart + seconds(119));
  EXPECT_NEAR(now.read, 1000, 40);
  EXPECT_NEAR(now.written, 500, 20);
  EXPECT_EQ(rates.LastMinute(kStart + seconds(119 + 70)).read, 0);
}

TEST(RecentRates, TheFirstSecondsAreNotAMinute) {
  RecentRates rates;
  rates.Add(kStart, seconds(0), {1000, 0, 1});
  // As if it had taken a whole stretch: nobody knows yet.
  EXPECT_EQ(rates.LastMinute(kStart + seconds(1)).read, 100);
}

TEST(RecentRates, WhatIsOldIsGoneHoweverLongNobodyCalled) {
  RecentRates rates;
  rates.Add(kStart, seconds(0), {1000, 0, 1});
  for (const Moved& step : rates.Steps(kStart + hours(1))) EXPECT_EQ(step, Moved());
  rates.Add(kStart + hours(1), seconds(0), {7, 0, 1});
  EXPECT_EQ(rates.Steps(kStart + hours(1)).back().bytes_read, 7u);
  EXPECT_EQ(rates.Steps(kStart + hours(1)).front().bytes_read, 0u);
}

}  // namespace
}  // namespace merganser
