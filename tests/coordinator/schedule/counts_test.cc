// What the schedule tells of all jobs together.
#include "tests/coordinator/schedule/fleet.h"

namespace merganser {
namespace {

TEST(ScheduleCounts, AddUpOverJobs) {
  Fleet fleet;
  fleet.AddJob("a", 3);
  fleet.AddJob("b", 2);
  const LeaseGrant first = fleet.Take("w");
  fleet.Complete("w", first);
  fleet.Take("w");
  const ScheduleCounts counts = fleet.schedule.Counts(fleet.now());
  EXPECT_EQ(counts.units_done, 1u);
  EXPECT_EQ(counts.units_leased, 1u);
  EXPECT_EQ(counts.units_pending, 3u);
  EXPECT_EQ(counts.workers, 1u);
}

TEST(ScheduleCounts, AWorkerThatIsForgottenDoesNotCount) {
  Fleet fleet;
  fleet.AddJob("a", 1);
  fleet.Take("w");
  fleet.Pass(seconds(31));
  fleet.Tick();
  const ScheduleCounts counts = fleet.schedule.Counts(fleet.now());
  EXPECT_EQ(counts.workers, 0u);
  EXPECT_EQ(counts.units_pending, 1u);
}

TEST(ScheduleCounts, AJobIsQuietUntilSomethingOfItIsDone) {
  Fleet fleet;
  fleet.AddJob("a", 2);
  const auto quiet = [&] { return fleet.schedule.Counts(fleet.now()).longest_quiet; };
  EXPECT_EQ(quiet(), seconds(0));
  fleet.Pass(seconds(10));
  EXPECT_EQ(quiet(), seconds(10));
  const LeaseGrant lease = fleet.Take("w");  // that a worker has it is no progress
  fleet.Pass(seconds(10));
  EXPECT_EQ(quiet(), seconds(20));
  fleet.Report("w", lease, 0, 1);
  EXPECT_EQ(quiet(), seconds(0));
  fleet.Pass(seconds(10));
  fleet.Report("w", lease, 0, 1);  // alive, and not any further
  EXPECT_EQ(quiet(), seconds(10));
  fleet.Complete("w", lease);
  EXPECT_EQ(quiet(), seconds(0));
}

TEST(ScheduleCounts, TheLongestCountsAndADoneJobDoesNot) {
  Fleet fleet;
  fleet.AddJob("done", 1);
  fleet.Complete("w", fleet.Take("w"));
  fleet.Pass(seconds(5));
  fleet.AddJob("a", 1);
  fleet.Pass(seconds(5));
  fleet.AddJob("b", 1);
  fleet.Pass(seconds(5));
  EXPECT_EQ(fleet.schedule.Counts(fleet.now()).longest_quiet, seconds(10));
  fleet.schedule.RemoveJob("a");
  EXPECT_EQ(fleet.schedule.Counts(fleet.now()).longest_quiet, seconds(5));
}

}  // namespace
}  // namespace merganser
