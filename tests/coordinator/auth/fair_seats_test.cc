// How seats are shared.
#include "coordinator/service/auth/fair_seats.h"

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"

namespace merganser {
namespace {

using Seats = std::vector<FairSeats::Seat>;

// All that `who` can get now.
Seats Grab(FairSeats& seats, const std::string& who) {
  Seats taken;
  while (auto seat = seats.Take(who)) taken.push_back(*std::move(seat));
  return taken;
}

TEST(FairSeats, OneAloneGetsHalf) {
  FairSeats seats(64);
  EXPECT_EQ(Grab(seats, "greedy").size(), 32u);
  EXPECT_EQ(Grab(seats, "greedy").size(), 32u);  // those were left
}

TEST(FairSeats, WhoeverComesNewFindsOne) {
  FairSeats seats(64);
  std::vector<Seats> all;
  for (int i = 0; i < 6; ++i) {
    all.push_back(Grab(seats, std::to_string(i)));
    EXPECT_FALSE(all.back().empty()) << i;
  }
  EXPECT_EQ(all[1].size(), 16u);
  EXPECT_EQ(all[5].size(), 1u);
}

TEST(FairSeats, ASingleSeatMayBeTaken) {
  FairSeats seats(1);
  const Seats taken = Grab(seats, "a");
  EXPECT_EQ(taken.size(), 1u);
  EXPECT_FALSE(seats.Take("b").has_value());
  EXPECT_FALSE(FairSeats(0).Take("a").has_value());
}

TEST(FairSeats, SeatsMoveAndAreLeftOnce) {
  FairSeats seats(2);
  FairSeats::Seat seat = *seats.Take("a");
  FairSeats::Seat moved = std::move(seat);
  EXPECT_FALSE(seats.Take("a").has_value());
  moved = FairSeats::Seat();
  EXPECT_EQ(Grab(seats, "a").size(), 1u);
  EXPECT_EQ(Grab(seats, "b").size(), 1u);
}

TEST(FairSeats, AnyIsAsMayBe) {
  FairSeats seats(4);
  Seats taken;
  while (auto seat = seats.TakeAny("a")) taken.push_back(*std::move(seat));
  EXPECT_EQ(taken.size(), 4u);
}

TEST(FairSeats, TellForHowLongNoneWasFree) {
  FakeClock clock;
  FairSeats seats(2, clock);
  FairSeats::Seat first = *seats.Take("a");
  clock.Advance(std::chrono::seconds(5));
  EXPECT_EQ(seats.FullFor(), Duration::zero());
  FairSeats::Seat second = *seats.Take("b");
  clock.Advance(std::chrono::seconds(3));
  EXPECT_EQ(seats.FullFor(), std::chrono::seconds(3));
  second = FairSeats::Seat();
  EXPECT_EQ(seats.FullFor(), Duration::zero());
  second = *seats.Take("b");
  EXPECT_EQ(seats.FullFor(), Duration::zero());
}

TEST(FairSeats, ManyThreadsLeaveThemAsTheyWere) {
  FairSeats seats(8);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&seats, who = std::to_string(i % 2)] {
      for (int turn = 0; turn < 2000; ++turn) Grab(seats, who);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Grab(seats, "a").size(), 4u);
}

}  // namespace
}  // namespace merganser
