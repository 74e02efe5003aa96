#include "coordinator/activity/job_activity.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::SizeIs;

constexpr MonotonicTime kStart{hours(50)};

UnitResult Result(uint32_t unit, double took, const std::string& worker = "w", uint32_t round = 0) {
  UnitResult result;
  result.unit = unit;
  result.round = round;
  result.bytes_read = 300;
  result.bytes_written = 100;
  result.seconds = took;
  result.worker = worker;
  result.stages = {0.5, 1, 2, 0.25, 0.25};
  return result;
}

RoundProgress Round(uint64_t units, uint32_t number = 0, bool analyzes = false) {
  return {number, analyzes, units, 0, units * 100, 0};
}

// A job of one round whose units of 100 bytes are done one every `pace`.
class Steady {
 public:
  explicit Steady(uint64_t units, Duration pace) : units_(units), pace_(pace) {
    activity.BeginRound(Round(units));
    Sample();
  }
  void Do(int count) {
    for (int i = 0; i < count; ++i) {
      for (Duration passed{}; passed < pace_; passed += milliseconds(250)) {
        now += milliseconds(250);
        Sample();
      }
      activity.Completed(Result(done, 1), "t", 100, now);
      ++done;
      Sample();
    }
  }
  void Sample() { activity.Sample({units_ * 100, done * uint64_t{100}, 0}, now); }

  MonotonicTime now = kStart;
  uint32_t done = 0;
  JobActivity activity{kStart, WallTime{}};

 private:
  const uint64_t units_;
  const Duration pace_;
};

TEST(JobActivity, RatesAreOfTheLastMinuteAndTimeLeftFollows) {
  Steady job(200, seconds(2));
  job.Do(100);
  EXPECT_NEAR(job.activity.rates(job.now).read, 150, 8);
  EXPECT_NEAR(job.activity.rates(job.now).written, 50, 3);
  const auto left = job.activity.TimeLeft(job.now);
  ASSERT_TRUE(left.has_value());
  EXPECT_NEAR(std::chrono::duration<double>(*left).count(), 200, 12);
  EXPECT_EQ(job.activity.moved(), (Moved{30'000, 10'000, 100}));
}

TEST(JobActivity, TimeLeftIsNotToldOfChance) {
  Steady job(200, seconds(2));
  job.Do(2);  // 4 s
  EXPECT_FALSE(job.activity.TimeLeft(job.now).has_value());
  EXPECT_EQ(job.activity.rates(job.now).read, 0);
  job.Do(10);
  EXPECT_TRUE(job.activity.TimeLeft(job.now).has_value());
  // Nothing moves for longer than a minute.
  for (int i = 0; i < 300; ++i) {
    job.now += milliseconds(250);
    job.Sample();
  }
  EXPECT_FALSE(job.activity.TimeLeft(job.now).has_value());
  EXPECT_EQ(job.activity.rates(job.now).written, 0);
  EXPECT_EQ(job.activity.Quiet(job.now), seconds(75));
}

TEST(JobActivity, UnitsInFlightCountAsFarAsTheyAre) {
  JobActivity activity(kStart, WallTime{});
  activity.BeginRound(Round(10));
  activity.Completed(Result(0, 1), "t", 100, kStart);
  activity.Sample({1000, 150, 50}, kStart + seconds(1));
  // Three bytes were read for each that was written.
  EXPECT_EQ(activity.moved(), (Moved{450, 150, 1}));
  // The lease is lost: what was told does not shrink.
  activity.Sample({1000, 100, 0}, kStart + seconds(2));
  EXPECT_EQ(activity.moved(), (Moved{450, 150, 1}));
  EXPECT_EQ(activity.completed(), (Moved{300, 100, 1}));
}

TEST(JobActivity, RoundsKeepTheirCounts) {
  JobActivity activity(kStart, WallTime{});
  activity.BeginRound(Round(3, 0, true));
  for (uint32_t unit = 0; unit < 3; ++unit) activity.Completed(Result(unit, 1), "t", 100, kStart);
  activity.BeginRound(Round(2, 1));
  activity.Recorded(Result(0, 1, "w", 1), "t", 100);
  ASSERT_THAT(activity.rounds(), SizeIs(2));
  EXPECT_EQ(activity.rounds()[0].units_done, 3u);
  EXPECT_TRUE(activity.rounds()[0].analyzes);
  EXPECT_EQ(activity.rounds()[1].bytes_done, 100u);
  // One unit of it is to be done again.
  activity.BeginRound(Round(1, 1));
  EXPECT_EQ(activity.rounds()[1].units_done, 0u);
  EXPECT_EQ(activity.rounds()[1].units_total, 2u);
}

TEST(JobActivity, WhatIsBegunAgainIsNotCountedTwice) {
  JobActivity activity(kStart, WallTime{});
  activity.BeginRound(Round(2));
  activity.Completed(Result(0, 1), "t", 100, kStart);
  activity.BeginAgain();
  activity.BeginRound(Round(2));
  activity.Recorded(Result(0, 1), "t", 100);
  activity.Sample({200, 100, 0}, kStart + seconds(1));
  EXPECT_EQ(activity.moved().bytes_read, 300u);
  EXPECT_EQ(activity.stages().compute, 2);
  EXPECT_EQ(activity.rounds()[0].units_done, 1u);
}

TEST(JobActivity, AHistoryGoesOnWhereAnEarlierProcessLeftIt) {
  const WallTime wall(std::chrono::hours(1));
  JobActivity earlier(kStart, wall);
  earlier.BeginRound(Round(2));
  earlier.Completed(Result(0, 1), "first", 100, kStart);
  for (int i = 0; i <= 10; ++i) earlier.Sample({200, 100, 0}, kStart + seconds(i));
  ASSERT_EQ(earlier.history().points().size(), 6u);

  // It was away for ten seconds.
  JobActivity later(kStart, wall + seconds(20), earlier.history());
  EXPECT_EQ(later.Quiet(kStart), Duration::zero());
  // Nothing shrinks while what is on record is not counted yet.
  later.Sample({200, 0, 0}, kStart + seconds(1));
  EXPECT_EQ(later.history().points().back(), earlier.history().points().back());
  later.BeginRound(Round(2));
  later.Recorded(Result(0, 1), "first", 100);
  later.Completed(Result(1, 2), "second", 100, kStart + seconds(2));
  later.Sample({200, 200, 0}, kStart + seconds(4));
  EXPECT_EQ(later.history().begin(), wall);
  ASSERT_EQ(later.history().points().size(), 13u);
  EXPECT_EQ(later.history().points()[10], (Moved{300, 100, 1}));
  EXPECT_EQ(later.history().points()[12], (Moved{600, 200, 2}));
  // Who did what is on record has done it.
  ASSERT_THAT(later.Workers(), SizeIs(1));
  EXPECT_EQ(later.Workers()[0].moved.units_done, 2u);
  ASSERT_THAT(later.slowest(), SizeIs(2));
  EXPECT_EQ(later.slowest()[1].tensor, "first");

  // A clock that was set back takes no time away.
  JobActivity back(kStart, wall - std::chrono::hours(1), earlier.history());
  back.Sample({200, 100, 0}, kStart);
  EXPECT_EQ(back.history().points().size(), 7u);
}

TEST(JobActivity, TheSlowestUnitsAreKept) {
  JobActivity activity(kStart, WallTime{});
  activity.BeginRound(Round(20));
  for (uint32_t unit = 0; unit < 20; ++unit) {
    activity.Completed(Result(unit, (unit * 7) % 20), absl::StrCat("t", unit), 100, kStart);
  }
  std::vector<double> seconds_of;
  for (const SlowUnit& unit : activity.slowest()) seconds_of.push_back(unit.seconds);
  EXPECT_THAT(seconds_of, ElementsAre(19, 18, 17, 16, 15));
  EXPECT_EQ(activity.slowest()[0].tensor, absl::StrCat("t", activity.slowest()[0].unit));
}

TEST(JobActivity, StragglersAreToldFromThreeWorkersOn) {
  JobActivity activity(kStart, WallTime{});
  activity.BeginRound(Round(20));
  activity.Completed(Result(0, 1, "a"), "t", 100, kStart);
  activity.Completed(Result(1, 10, "slow"), "t", 100, kStart);
  for (const JobWorker& worker : activity.Workers()) EXPECT_FALSE(worker.straggles);
  activity.Completed(Result(2, 1.2, "b"), "t", 100, kStart);
  const auto workers = activity.Workers();
  ASSERT_THAT(workers, SizeIs(3));
  EXPECT_EQ(workers[0].name, "slow");
  EXPECT_TRUE(workers[0].straggles);
  EXPECT_FALSE(workers[1].straggles);
  // It is as fast as others by now.
  for (uint32_t unit = 3; unit < 40; ++unit)
    activity.Completed(Result(unit, 1, "slow"), "t", 1, kStart);
  for (const JobWorker& worker : activity.Workers()) EXPECT_FALSE(worker.straggles) << worker.name;
}

TEST(JobActivity, StagesOfTheLastMinuteFade) {
  JobActivity activity(kStart, WallTime{});
  activity.BeginRound(Round(20));
  activity.Completed(Result(0, 1), "t", 100, kStart);
  EXPECT_EQ(activity.StagesOfLastMinute(kStart + seconds(30)).compute, 2);
  EXPECT_EQ(activity.StagesOfLastMinute(kStart + seconds(70)).compute, 0);
  EXPECT_EQ(activity.stages().compute, 2);
}

TEST(JobActivity, AnyNumberOfWorkersIsBounded) {
  JobActivity activity(kStart, WallTime{});
  activity.BeginRound(Round(10'000));
  for (uint32_t unit = 0; unit < 10'000; ++unit) {
    activity.Completed(Result(unit, 1, absl::StrCat("w", unit)), "t", 100, kStart);
  }
  EXPECT_THAT(activity.Workers(), SizeIs(JobActivity::kMostWorkers));
  EXPECT_EQ(activity.rounds()[0].units_done, 10'000u);
}

}  // namespace
}  // namespace merganser
