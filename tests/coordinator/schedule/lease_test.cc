// Who gets which unit, for how long, and what ends a lease.
#include "tests/coordinator/schedule/fleet.h"

#include <ostream>

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(Lease, UnitsGoOutInPlanOrderAndOnlyOnce) {
  Fleet fleet;
  fleet.AddJob("j", 3);
  const LeaseGrant a = fleet.Take("w1");
  const LeaseGrant b = fleet.Take("w2");
  const LeaseGrant c = fleet.Take("w1", {a.token});
  EXPECT_EQ(a.unit, 0u);
  EXPECT_EQ(b.unit, 1u);
  EXPECT_EQ(c.unit, 2u);
  EXPECT_NE(a.token, b.token);
  EXPECT_THAT(fleet.Send(Fleet::From("w3", 5)).leases, IsEmpty());
  EXPECT_EQ(fleet.Status("j").units_leased, 3u);
  EXPECT_EQ(fleet.Status("j").workers, 2u);
}

TEST(Lease, NoMoreThanWanted) {
  Fleet fleet;
  fleet.AddJob("j", 10);
  EXPECT_EQ(fleet.Send(Fleet::From("w", 4)).leases.size(), 4u);
  EXPECT_THAT(fleet.Send(Fleet::From("v", 0)).leases, IsEmpty());
}

TEST(Share, FewUnitsAreSpreadOverAllLiveWorkers) {
  Fleet fleet;
  fleet.AddJob("j", 6);
  for (const char* worker : {"a", "b", "c"}) fleet.Send(Fleet::From(worker));
  for (const char* worker : {"a", "b", "c"}) {
    EXPECT_EQ(fleet.Send(Fleet::From(worker, 4)).leases.size(), 2u) << worker;
  }
  EXPECT_EQ(fleet.Status("j").workers, 3u);
}

TEST(Share, WhatAWorkerHoldsCountsAndWhoeverLeavesDoesNot) {
  Fleet fleet;
  fleet.AddJob("j", 5);
  WorkerReport leaving = Fleet::From("c");
  leaving.draining = true;
  fleet.Send(leaving);
  fleet.Send(Fleet::From("b"));
  WorkerReport report = Fleet::From("a", 2);
  for (const LeaseGrant& lease : fleet.Send(report).leases) {
    report.in_flight.push_back({lease.token, 0, 0});
  }
  ASSERT_EQ(report.in_flight.size(), 2u);
  // Five units, two workers: three each, two of which it has.
  const WorkerAnswer answer = fleet.Send(report);
  EXPECT_EQ(answer.leases.size(), 1u);
  EXPECT_EQ(answer.next_sync_after, milliseconds(500));  // it wanted two
}

TEST(Share, IsOfAllJobsTogetherAndAtLeastOne) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  fleet.AddJob("k", 3);
  fleet.Send(Fleet::From("b"));
  EXPECT_EQ(fleet.Send(Fleet::From("a", 9)).leases.size(), 2u);
  for (const char* worker : {"c", "d", "e", "f"}) fleet.Send(Fleet::From(worker));
  EXPECT_EQ(fleet.Send(Fleet::From("c", 9)).leases.size(), 1u);
}

TEST(Share, ShrinksAsUnitsAreDone) {
  Fleet fleet;
  fleet.AddJob("j", 4);
  fleet.Send(Fleet::From("b"));
  const WorkerAnswer first = fleet.Send(Fleet::From("a", 9));
  ASSERT_EQ(first.leases.size(), 2u);
  WorkerReport report = Fleet::From("a", 9);
  for (const LeaseGrant& lease : first.leases) {
    report.completed.push_back({lease.token, lease.job, Fleet::Result(lease.unit)});
  }
  EXPECT_EQ(fleet.Send(report).leases.size(), 1u);  // the last one is for b
}

TEST(Lease, WorkerWithTooLittleWorkIsAskedToCallSooner) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  EXPECT_EQ(fleet.Send(Fleet::From("w", 1)).next_sync_after, seconds(2));
  EXPECT_EQ(fleet.Send(Fleet::From("v", 1)).next_sync_after, milliseconds(500));
}

TEST(Lease, AnswersCarryTheEpoch) {
  Fleet fleet;
  EXPECT_EQ(fleet.Send(Fleet::From("w")).epoch, 7u);
}

TEST(Order, JobsShareTheWorkersAndTheFirstComeIsFirst) {
  Fleet fleet;
  fleet.AddJob("second-by-name", 4);
  fleet.AddJob("a-first-by-name", 2);
  const WorkerAnswer answer = fleet.Send(Fleet::From("w", 6));
  std::vector<std::string> jobs;
  for (const LeaseGrant& lease : answer.leases) jobs.push_back(lease.job);
  EXPECT_THAT(jobs, ElementsAre("second-by-name", "a-first-by-name", "second-by-name",
                                "a-first-by-name", "second-by-name", "second-by-name"));
}

TEST(Order, AJobThatComesLateGetsItsShareAtOnce) {
  Fleet fleet;
  fleet.AddJob("long", 100);
  std::vector<std::string> held;
  for (int i = 0; i < 4; ++i) held.push_back(fleet.Take("w", held).token);
  fleet.AddJob("short", 2);
  for (int i = 0; i < 2; ++i) {
    const LeaseGrant lease = fleet.Take("w", held);
    EXPECT_EQ(lease.job, "short");
    held.push_back(lease.token);
  }
  EXPECT_EQ(fleet.Take("w", held).job, "long");
}

TEST(Order, TheHighestPriorityIsServedFirstAndTheRestWaits) {
  Fleet fleet;
  int order = 0;
  for (const auto& [job, priority] :
       {std::pair("low", -5), std::pair("high", 7), std::pair("normal", 0)}) {
    UnitBatch batch(std::vector<UnitDemand>(2, {10, 100}));
    batch.priority = priority;
    ASSERT_TRUE(fleet.schedule.AddJob(job, ++order, std::move(batch), fleet.now()).ok());
  }
  const WorkerAnswer answer = fleet.Send(Fleet::From("w", 6));
  std::vector<std::string> jobs;
  for (const LeaseGrant& lease : answer.leases) jobs.push_back(lease.job);
  EXPECT_THAT(jobs, ElementsAre("high", "high", "normal", "normal", "low", "low"));
}

TEST(Order, AChangedPriorityCountsFromTheNextUnitOn) {
  Fleet fleet;
  fleet.AddJob("first", 4);
  fleet.AddJob("second", 4);
  const LeaseGrant held = fleet.Take("w1");
  EXPECT_EQ(held.job, "first");
  fleet.schedule.SetPriority("second", 1);
  fleet.schedule.SetPriority("none", 1);
  EXPECT_EQ(fleet.Take("w2").job, "second");
  EXPECT_EQ(fleet.Take("w3").job, "second");
  fleet.schedule.SetPriority("second", -1);
  EXPECT_EQ(fleet.Take("w4").job, "first");
  // What is out stays out.
  EXPECT_TRUE(fleet.Report("w1", held, 0, 0).revoked.empty());
}

TEST(Order, WhatAWorkerCannotTakeDoesNotKeepItFromOtherJobs) {
  Fleet fleet;
  UnitBatch large(std::vector<UnitDemand>(2, {5000, 100}));
  large.priority = 9;
  ASSERT_TRUE(fleet.schedule.AddJob("large", 1, std::move(large), fleet.now()).ok());
  fleet.AddJob("j", 1);
  EXPECT_EQ(fleet.Take("w").job, "j");
}

TEST(Order, LargeUnitsGoOutFirstAndThoseOfAboutOneSizeInSequence) {
  Fleet fleet;
  std::vector<UnitDemand> demands;
  for (const uint64_t bytes : {100, 120, 9000, 127, 0, 8200, 300}) demands.push_back({10, bytes});
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, UnitBatch(demands), fleet.now()).ok());
  const WorkerAnswer answer = fleet.Send(Fleet::From("w", 7));
  std::vector<uint32_t> units;
  for (const LeaseGrant& lease : answer.leases) units.push_back(lease.unit);
  EXPECT_THAT(units, ElementsAre(2, 5, 6, 0, 1, 3, 4));
}

UnitBatch One() { return UnitBatch({UnitDemand{1, 1}}); }

TEST(Lease, OrderIsTheCallersAndNotThatOfAdding) {
  Fleet fleet;
  ASSERT_TRUE(fleet.schedule.AddJob("late", 20, One(), fleet.now()).ok());
  ASSERT_TRUE(fleet.schedule.AddJob("early", 10, One(), fleet.now()).ok());
  EXPECT_EQ(fleet.Take("w").job, "early");
}

TEST(Lease, AJobIsAddedOnce) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  EXPECT_TRUE(absl::IsAlreadyExists(fleet.schedule.AddJob("j", 9, {}, fleet.now())));
}

TEST(Lease, AJobWithoutUnitsIsDone) {
  Fleet fleet;
  fleet.AddJob("j", 0);
  EXPECT_TRUE(fleet.Ended("j"));
  EXPECT_TRUE(fleet.Error("j").ok());
}

TEST(Lease, ResultsComeOutInUnitOrder) {
  Fleet fleet;
  fleet.AddJob("j", 3);
  const LeaseGrant a = fleet.Take("w1");
  const LeaseGrant b = fleet.Take("w2");
  const LeaseGrant c = fleet.Take("w3");
  fleet.Complete("w3", c);
  fleet.Complete("w1", a);
  EXPECT_FALSE(fleet.Ended("j"));
  EXPECT_FALSE(fleet.schedule.TakeResults("j").ok());
  EXPECT_THAT(fleet.Complete("w2", b).acknowledged, ElementsAre(b.token));
  ASSERT_TRUE(fleet.Ended("j"));
  const auto results = fleet.schedule.TakeResults("j");
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_EQ(results->size(), 3u);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ((*results)[i].unit, i);
  EXPECT_EQ((*results)[2].worker, "w3");
  const JobWorkers workers = fleet.schedule.Workers("j");
  EXPECT_THAT(workers.threads, ElementsAre(Pair("w1", 4u), Pair("w2", 4u), Pair("w3", 4u)));
  EXPECT_THAT(workers.simd, ElementsAre("AVX2"));
}

// How long a lease lives when its worker calls every 10 s and reports like this.
struct RenewalCase {
  const char* name;
  uint64_t bytes_per_call;
  uint64_t work_per_call;
  bool other_unit_works;  // another unit of the same worker gets on
  int alive_after;        // seconds; still leased then
  int dead_after;         // seconds; expired by then; 0: not within 3000 s
};
void PrintTo(const RenewalCase& c, std::ostream* out) { *out << c.name; }

class Renewal : public ::testing::TestWithParam<RenewalCase> {};

TEST_P(Renewal, FollowsProgress) {
  const RenewalCase& c = GetParam();
  Fleet fleet;
  fleet.AddJob("j", 2, /*memory=*/10, /*bytes=*/1'000'000);
  const LeaseGrant lease = fleet.Take("w");
  const LeaseGrant other = fleet.Take("w", {lease.token});
  ASSERT_NE(lease.token, other.token);
  int expired_at = 0;
  for (int i = 1; i <= 300 && expired_at == 0; ++i) {
    fleet.Pass(seconds(10));
    WorkerReport report = Fleet::From("w");
    const uint64_t n = static_cast<uint64_t>(i);
    report.in_flight.push_back({lease.token, c.bytes_per_call * n, c.work_per_call * n});
    report.in_flight.push_back({other.token, c.other_unit_works ? n : 0, 0});
    for (const std::string& token : fleet.Send(report).revoked) {
      if (token == lease.token) expired_at = 10 * i;
    }
  }
  if (c.dead_after == 0) {
    EXPECT_EQ(expired_at, 0);
  } else {
    EXPECT_GT(expired_at, c.alive_after);
    EXPECT_LE(expired_at, c.dead_after);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, Renewal,
    ::testing::Values(RenewalCase{"HungWorkerWithLivelyHeartbeat", 0, 0, false, 90, 100},
                      RenewalCase{"WritesBytes", 5, 0, false, 0, 0},
                      RenewalCase{"WorksWithoutWriting", 0, 1, false, 900, 1000},
                      RenewalCase{"WaitsBehindAnotherUnitOfItsWorker", 0, 0, true, 900, 1000},
                      RenewalCase{"WritesAndWorks", 1, 1, true, 0, 0}),
    [](const auto& c) { return std::string(c.param.name); });

TEST(Lease, RepeatingOldNumbersIsNoProgress) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("w");
  fleet.Pass(seconds(20));
  fleet.Report("w", lease, 50, 9);  // deadline at 120 s
  fleet.Pass(seconds(20));
  fleet.Report("w", lease, 50, 9);
  fleet.Pass(seconds(20));
  fleet.Report("w", lease, 40, 8);  // backwards
  for (int i = 0; i < 5; ++i) {
    fleet.Pass(seconds(11));
    EXPECT_THAT(fleet.Report("w", lease, 50, 9).revoked, IsEmpty()) << i;
  }
  fleet.Pass(seconds(11));
  EXPECT_THAT(fleet.Report("w", lease, 50, 9).revoked, ElementsAre(lease.token));
}

TEST(Lease, ExpiredUnitIsGivenOutAgain) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("hung");
  fleet.PassWithHeartbeats(seconds(100), {[&] {
                             WorkerReport report = Fleet::From("hung");
                             report.in_flight.push_back({lease.token, 0, 0});
                             return report;
                           }()});
  const LeaseGrant again = fleet.Take("w");
  EXPECT_EQ(again.unit, lease.unit);
  EXPECT_NE(again.token, lease.token);
  EXPECT_EQ(fleet.Status("j").retries, 1u);
}

TEST(Lease, SilentWorkerLosesItsLeases) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  const LeaseGrant a = fleet.Take("lost");
  fleet.Take("lost", {a.token});
  fleet.Pass(seconds(29));
  fleet.Tick();
  EXPECT_EQ(fleet.schedule.live_workers(), 1u);
  EXPECT_EQ(fleet.Status("j").units_leased, 2u);
  fleet.Pass(seconds(1));
  fleet.Tick();
  EXPECT_EQ(fleet.schedule.live_workers(), 0u);
  EXPECT_EQ(fleet.Status("j").units_leased, 0u);
  EXPECT_EQ(fleet.Take("w").unit, 0u);
}

TEST(Lease, WorkerThatComesBackLearnsThatItsLeaseIsGone) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("w");
  fleet.Pass(seconds(60));
  fleet.Tick();
  EXPECT_THAT(fleet.Report("w", lease, 10, 10).revoked, ElementsAre(lease.token));
}

TEST(Lease, LostAnswerGivesTheUnitOutAgainWithoutCountingAnAttempt) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lost = fleet.Take("w");
  // The worker never saw the answer: it lists nothing.
  const LeaseGrant again = fleet.Take("w");
  EXPECT_EQ(again.unit, 0u);
  EXPECT_NE(again.token, lost.token);
  EXPECT_EQ(fleet.Status("j").retries, 0u);
}

TEST(Lease, OvertakenCallChangesNothing) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  WorkerReport report = Fleet::From("w", 1);
  report.sequence = 5;
  const auto answer = fleet.schedule.Sync(report, fleet.now());
  ASSERT_TRUE(answer.ok());
  ASSERT_EQ(answer->leases.size(), 1u);
  // An earlier call arrives late; it knows nothing of the lease.
  for (const uint64_t sequence : {4, 5}) {
    report.sequence = sequence;
    EXPECT_TRUE(absl::IsAborted(fleet.schedule.Sync(report, fleet.now()).status())) << sequence;
  }
  EXPECT_EQ(fleet.Status("j").units_leased, 1u);
}

TEST(Lease, DrainingWorkerGetsNothingAndHandsBackWhatItDidNotStart) {
  Fleet fleet;
  fleet.AddJob("j", 3);
  const LeaseGrant started = fleet.Take("w");
  const LeaseGrant waiting = fleet.Take("w", {started.token});
  WorkerReport report = Fleet::From("w", 2);
  report.draining = true;
  report.in_flight.push_back({started.token, 10, 1});
  report.returned.push_back(waiting.token);
  const WorkerAnswer answer = fleet.Send(report);
  EXPECT_THAT(answer.leases, IsEmpty());
  EXPECT_THAT(answer.acknowledged, ElementsAre(waiting.token));
  EXPECT_EQ(fleet.Take("v").unit, waiting.unit);
  EXPECT_EQ(fleet.Status("j").retries, 0u);
  // With its last result it leaves.
  report = Fleet::From("w");
  report.draining = true;
  report.completed.push_back({started.token, "j", Fleet::Result(started.unit)});
  fleet.Send(report);
  EXPECT_EQ(fleet.schedule.live_workers(), 1u);
}

TEST(Lease, OneWorkerCannotHandBackAnothersLease) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("w");
  WorkerReport thief = Fleet::From("thief", 1);
  thief.returned.push_back(lease.token);
  EXPECT_THAT(fleet.Send(thief).leases, IsEmpty());
  EXPECT_EQ(fleet.Status("j").units_leased, 1u);
}

TEST(Lease, AfterAPauseOfTheCoordinatorEveryLeaseGetsAFullTerm) {
  ScheduleOptions options = TestOptions();
  options.pause_gap = seconds(15);
  Fleet fleet(options);
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("w");
  fleet.Pass(seconds(5000));  // stopped and continued
  fleet.Tick();
  EXPECT_EQ(fleet.schedule.live_workers(), 1u);
  EXPECT_EQ(fleet.Status("j").units_leased, 1u);
  int alive = 0;
  for (; alive < 300; alive += 10) {
    fleet.Pass(seconds(10));
    if (!fleet.Report("w", lease, 0, 0).revoked.empty()) break;
  }
  EXPECT_EQ(alive, 90);  // revoked by the tenth call, 100 s after the pause
}

TEST(Lease, ClockThatStepsBackIsHarmless) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  fleet.Take("w");
  fleet.schedule.Tick(fleet.now() - seconds(3600));
  EXPECT_EQ(fleet.Status("j").units_leased, 1u);
}

TEST(Lease, ProgressCountsWhatIsInFlightUpToTheUnitsSize) {
  Fleet fleet;
  fleet.AddJob("j", 2, /*memory=*/10, /*bytes=*/100);
  const LeaseGrant a = fleet.Take("w");
  fleet.Report("w", a, 30, 1);
  EXPECT_EQ(fleet.Status("j").bytes_done, 30u);
  fleet.Report("w", a, 5000, 2);
  EXPECT_EQ(fleet.Status("j").bytes_done, 100u);
  fleet.Complete("w", a);
  const ScheduleStatus status = fleet.Status("j");
  EXPECT_EQ(status.bytes_done, 100u);
  EXPECT_EQ(status.bytes_total, 200u);
  EXPECT_EQ(status.units_done, 1u);
}

}  // namespace
}  // namespace merganser
