#include "coordinator/service/job_places.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

JobPtr Job(uint64_t sequence, int32_t priority = 0, const std::string& owner = "ann") {
  auto job = std::make_shared<ManagedJob>();
  job->record.sequence = sequence;
  job->record.info.owner = owner;
  job->record.info.request.priority = priority;
  return job;
}

TEST(JobPlacesTest, HigherPrioritiesComeFirstAndOfOneTheFirstCome) {
  JobPlaces places(4);
  const JobPtr low = Job(1, -1), first = Job(2), second = Job(3), high = Job(4, 5);
  for (const JobPtr& job : {low, first, second, high}) places.Enqueue(job);
  EXPECT_EQ(places.QueueText(*high), "queued: 0 jobs before it, 0 active");
  EXPECT_EQ(places.QueueText(*second), "queued: 2 jobs before it, 0 active");
  for (const JobPtr& job : {high, first, second, low}) {
    ASSERT_EQ(places.Next(), job);
    places.Take(job);
    EXPECT_EQ(places.QueueText(*job), "");
  }
  EXPECT_EQ(places.Next(), nullptr);
}

TEST(JobPlacesTest, NoMoreAreActiveThanThereArePlaces) {
  JobPlaces places(1);
  const JobPtr a = Job(1), b = Job(2);
  places.Enqueue(a);
  places.Enqueue(b);
  places.Take(a);
  EXPECT_EQ(places.free(), 0);
  EXPECT_EQ(places.Next(), nullptr);
  places.Leave(*a);
  EXPECT_EQ(places.Next(), b);
}

TEST(JobPlacesTest, AJobThatWaitsLendsItsPlaceAndWantsItBackBeforeTheQueue) {
  JobPlaces places(1);
  const JobPtr a = Job(1), b = Job(2), c = Job(3);
  for (const JobPtr& job : {a, b, c}) places.Enqueue(job);
  places.Take(a);
  EXPECT_TRUE(places.Lend(*a));
  EXPECT_FALSE(places.Lend(*a));
  EXPECT_EQ(places.runners(), 2);
  EXPECT_EQ(places.QueueText(*c), "queued: 1 job before it, 0 active, 1 that wait");
  ASSERT_EQ(places.Next(), b);
  places.Take(b);
  // It could go on: the place of the next that ends is its.
  EXPECT_TRUE(places.SetWanted(*a, true));
  EXPECT_FALSE(places.SetWanted(*a, true));
  places.Leave(*b);
  EXPECT_EQ(places.free(), 1);
  EXPECT_EQ(places.Next(), nullptr);
  EXPECT_TRUE(places.TakeBack(*a));
  EXPECT_FALSE(places.TakeBack(*a));
  EXPECT_EQ(places.free(), 0);
  places.Leave(*a);
  EXPECT_EQ(places.Next(), c);
  EXPECT_EQ(places.lent(), 0);
}

TEST(JobPlacesTest, WhoEndsWhileItsPlaceIsLentTakesNoPlaceWithIt) {
  JobPlaces places(1);
  const JobPtr a = Job(1), b = Job(2);
  places.Enqueue(a);
  places.Enqueue(b);
  places.Take(a);
  places.Lend(*a);
  places.SetWanted(*a, true);
  places.Leave(*a);
  EXPECT_EQ(places.lent(), 0);
  EXPECT_EQ(places.free(), 1);
  EXPECT_EQ(places.Next(), b);
}

TEST(JobPlacesTest, WhatWasWithdrawnComesBackFirst) {
  JobPlaces places(1);
  const JobPtr a = Job(1), b = Job(2);
  places.Enqueue(a);
  places.Enqueue(b);
  EXPECT_TRUE(places.Withdraw(a));
  EXPECT_FALSE(places.Withdraw(a));
  EXPECT_EQ(places.Next(), b);
  places.PutBack(a);
  EXPECT_EQ(places.Next(), a);
}

TEST(JobPlacesTest, NobodyHasMoreInTheQueueThanThereIsRoomFor) {
  JobPlaces places(1);
  for (uint64_t i = 1; i <= 2; ++i) places.Enqueue(Job(i));
  EXPECT_TRUE(places.CheckQueue("ann", 5).ok());  // 2 of 5, and room for 3
  places.Enqueue(Job(3));
  const absl::Status refused = places.CheckQueue("ann", 5);
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("found 3 jobs in the queue, 3 of ann, and room for 2"));
  EXPECT_TRUE(places.CheckQueue("bob", 5).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(places.CheckQueue("bob", 3)));
}

TEST(JobPlacesTest, EveryChangeOfWhatTheQueueTellsIsAMove) {
  JobPlaces places(2);
  const JobPtr a = Job(1), b = Job(2);
  uint64_t last = places.moves();
  const auto moved = [&] { return last != places.moves() && (last = places.moves(), true); };
  places.Enqueue(a);
  EXPECT_TRUE(moved());
  places.Take(a);
  EXPECT_TRUE(moved());
  places.Lend(*a);
  EXPECT_TRUE(moved());
  places.TakeBack(*a);
  EXPECT_TRUE(moved());
  places.Enqueue(b);
  EXPECT_TRUE(moved());
  places.Withdraw(b);
  EXPECT_TRUE(moved());
  places.Leave(*a);
  EXPECT_TRUE(moved());
  EXPECT_FALSE(moved());
}

}  // namespace
}  // namespace merganser
