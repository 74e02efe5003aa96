// Batches: the units of one round of a job, under their numbers in the plan.
#include <string>
#include <vector>

#include "tests/coordinator/schedule/fleet.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

UnitBatch Batch(uint32_t round, std::vector<uint32_t> units) {
  UnitBatch batch(std::vector<UnitDemand>(units.size(), {10, 100}));
  batch.round = round;
  batch.units = std::move(units);
  return batch;
}

WorkerAnswer Complete(Fleet& fleet, const LeaseGrant& lease, uint32_t unit, uint32_t round) {
  UnitResult result = Fleet::Result(unit);
  result.round = round;
  WorkerReport report = Fleet::From("w");
  report.completed.push_back({lease.token, lease.job, std::move(result)});
  return fleet.Send(report);
}

TEST(Batches, LeasesNameTheUnitInThePlanAndTheRound) {
  Fleet fleet;
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, Batch(2, {3, 7}), fleet.now()).ok());
  const LeaseGrant first = fleet.Take("w");
  EXPECT_EQ(first.unit, 3u);
  EXPECT_EQ(first.round, 2u);
  const LeaseGrant second = fleet.Take("w", {first.token});
  EXPECT_EQ(second.unit, 7u);
  Complete(fleet, second, 7, 2);
  const LeaseGrant again = fleet.Take("w");  // the first was not spoken of: it was lost
  EXPECT_EQ(again.unit, 3u);
  Complete(fleet, again, 3, 2);
  ASSERT_TRUE(fleet.Ended("j"));
  const auto results = fleet.schedule.TakeResults("j");
  ASSERT_TRUE(results.ok());
  EXPECT_EQ((*results)[0].unit, 3u);
  EXPECT_EQ((*results)[1].unit, 7u);
}

TEST(Batches, AResultOfAnotherUnitOrRoundIsNotTaken) {
  Fleet fleet;
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, Batch(1, {3}), fleet.now()).ok());
  const LeaseGrant lease = fleet.Take("w");
  Complete(fleet, lease, 0, 1);
  EXPECT_FALSE(fleet.Ended("j"));
  const LeaseGrant again = fleet.Take("w");
  Complete(fleet, again, 3, 0);
  EXPECT_FALSE(fleet.Ended("j"));
}

TEST(Batches, EveryResultThatCountsIsShownOnce) {
  Fleet fleet;
  std::vector<uint32_t> shown;
  UnitBatch batch = Batch(0, {5});
  batch.accept = [&shown](UnitResult& result) {
    shown.push_back(result.unit);
    result.counts.clear();
  };
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, std::move(batch), fleet.now()).ok());
  const LeaseGrant lost = fleet.Take("slow");
  fleet.PassWithHeartbeats(seconds(200), {Fleet::From("w")});
  const LeaseGrant lease = fleet.Take("w");
  Complete(fleet, lease, 5, 0);
  EXPECT_THAT(shown, ElementsAre(5));
  Complete(fleet, lost, 5, 0);
  EXPECT_THAT(shown, ElementsAre(5));
}

TEST(Batches, NothingOfARoundLivesOnInTheNext) {
  Fleet fleet;
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, Batch(0, {4}), fleet.now()).ok());
  const LeaseGrant old = fleet.Take("w");
  fleet.schedule.RemoveJob("j");
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, Batch(1, {4, 6}), fleet.now()).ok());
  WorkerReport report = Fleet::From("w");
  report.in_flight.push_back({old.token, 0, 0});
  EXPECT_THAT(fleet.Send(report).revoked, ElementsAre(old.token));
  Complete(fleet, old, 4, 1);
  EXPECT_EQ(fleet.Status("j").units_done, 0u);
}

TEST(Batches, FailuresNameUnitAndRound) {
  Fleet fleet;
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, Batch(1, {12}), fleet.now()).ok());
  const LeaseGrant lease = fleet.Take("w");
  fleet.Fail("w", lease, absl::DataLossError("NaN"));
  EXPECT_THAT(std::string(fleet.Error("j").message()), HasSubstr("unit 12 in round 2"));
}

}  // namespace
}  // namespace merganser
