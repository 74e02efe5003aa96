#include "coordinator/activity/fleet.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using testing::SizeIs;

constexpr MonotonicTime kStart{hours(50)};

WallTime Wall(MonotonicTime time) { return WallTime(time.time_since_epoch()); }

WorkerReport From(const std::string& name) {
  WorkerReport report;
  report.worker = name;
  report.threads = 8;
  report.memory = 1000;
  report.simd = "AVX2";
  report.host = "node-7";
  report.version = "merganser 0.1.0";
  return report;
}

UnitResult Result(uint64_t read, uint64_t written, double took) {
  UnitResult result;
  result.bytes_read = read;
  result.bytes_written = written;
  result.seconds = took;
  return result;
}

TEST(Fleet, TellsWhoWorkersSayTheyAreAndWhatTheyDid) {
  Fleet fleet(seconds(30));
  fleet.Called(From("w"), kStart, Wall(kStart));
  fleet.Did("w", Result(600, 60, 1), kStart + seconds(5));
  fleet.Called(From("w"), kStart + seconds(9), Wall(kStart + seconds(9)));
  const auto workers = fleet.Workers(kStart + seconds(10));
  ASSERT_THAT(workers, SizeIs(1));
  EXPECT_EQ(workers[0].host, "node-7");
  EXPECT_EQ(workers[0].threads, 8u);
  EXPECT_EQ(workers[0].state, WorkerState::kAlive);
  EXPECT_EQ(workers[0].first_seen, Wall(kStart));
  EXPECT_EQ(workers[0].last_seen, Wall(kStart + seconds(9)));
  EXPECT_EQ(workers[0].units_done, 1u);
  EXPECT_EQ(workers[0].rates.read, 60);
  EXPECT_THAT(workers[0].recent, SizeIs(RecentRates::kSteps));
  EXPECT_EQ(fleet.Totals(kStart + seconds(10)).rates.written, 6);
}

TEST(Fleet, WhoIsSilentIsGoneAndComesBack) {
  Fleet fleet(seconds(30));
  fleet.Called(From("w"), kStart, Wall(kStart));
  const auto state = [&](Duration after) { return fleet.Workers(kStart + after).at(0).state; };
  EXPECT_EQ(state(seconds(29)), WorkerState::kAlive);
  EXPECT_EQ(state(seconds(30)), WorkerState::kGone);
  EXPECT_EQ(fleet.Totals(kStart + seconds(31)).alive, 0u);
  EXPECT_EQ(fleet.Totals(kStart + seconds(31)).known, 1u);
  fleet.Called(From("w"), kStart + seconds(60), Wall(kStart));
  EXPECT_EQ(state(seconds(61)), WorkerState::kAlive);
  fleet.Tick(kStart + seconds(60) + Fleet::kRemembered + seconds(1));
  EXPECT_EQ(fleet.Totals(kStart).known, 0u);
}

TEST(Fleet, WhoDrainsIsGoneWhenItHoldsNothing) {
  Fleet fleet(seconds(30));
  WorkerReport report = From("w");
  report.draining = true;
  report.in_flight.push_back({"t", 0, 0});
  fleet.Called(report, kStart, Wall(kStart));
  EXPECT_EQ(fleet.Workers(kStart)[0].state, WorkerState::kDraining);
  report.in_flight.clear();
  fleet.Called(report, kStart, Wall(kStart));
  EXPECT_EQ(fleet.Workers(kStart)[0].state, WorkerState::kGone);
}

TEST(Fleet, RemembersTheLastTrouble) {
  Fleet fleet(seconds(30));
  fleet.Called(From("w"), kStart, Wall(kStart));
  fleet.Troubled({"job", 0, 7, "w", true, absl::UnavailableError("disk\nis gone")}, Wall(kStart));
  fleet.Troubled({"job", 0, 7, "another", true, absl::UnavailableError("x")}, Wall(kStart));
  const auto workers = fleet.Workers(kStart);
  ASSERT_THAT(workers, SizeIs(1));
  EXPECT_EQ(workers[0].units_failed, 1u);
  EXPECT_EQ(workers[0].last_trouble->unit, 7u);
  EXPECT_THAT(workers[0].last_trouble->message, testing::Not(testing::HasSubstr("\n")));
}

TEST(Fleet, AFloodOfWorkersIsBounded) {
  Fleet fleet(seconds(30));
  for (int i = 0; i < 5000; ++i) fleet.Called(From(absl::StrCat("w", i)), kStart, Wall(kStart));
  fleet.Called(From("alive"), kStart + seconds(40), Wall(kStart));
  fleet.Tick(kStart + seconds(41));
  EXPECT_EQ(fleet.Totals(kStart + seconds(41)).known, Fleet::kMostGone + 1);
  EXPECT_EQ(fleet.Totals(kStart + seconds(41)).alive, 1u);
}

TEST(Fleet, WhatAWorkerSaysOfItsTimeIsNotBelievedBeyondReason) {
  Fleet fleet(seconds(30));
  fleet.Called(From("w"), kStart, Wall(kStart));
  for (const double took : {-1.0, 1e300, 0.0}) fleet.Did("w", Result(600, 0, took), kStart);
  EXPECT_EQ(fleet.Workers(kStart)[0].units_done, 3u);
}

}  // namespace
}  // namespace merganser
