// Failures, lost leases, late and second results, units that fit nowhere.
#include "tests/coordinator/schedule/fleet.h"

#include <ostream>

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::Status Gone() { return absl::UnavailableError("storage is gone"); }

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(Trouble, PermanentFailureFailsTheJobAtOnce) {
  Fleet fleet;
  fleet.AddJob("j", 3);
  const LeaseGrant a = fleet.Take("w1");
  const LeaseGrant b = fleet.Take("w2");
  const WorkerAnswer answer =
      fleet.Fail("w1", a, absl::InvalidArgumentError("tensor q: found NaN"));
  EXPECT_THAT(answer.acknowledged, ElementsAre(a.token));
  ASSERT_TRUE(fleet.Ended("j"));
  EXPECT_TRUE(absl::IsInvalidArgument(fleet.Error("j")));
  EXPECT_THAT(Message(fleet.Error("j")),
              AllOf(HasSubstr("unit 0 of 3"), HasSubstr("w1"), HasSubstr("found NaN")));
  // Others stop, and nobody starts.
  EXPECT_THAT(fleet.Report("w2", b, 1, 1).revoked, ElementsAre(b.token));
  EXPECT_THAT(fleet.Send(Fleet::From("w3", 3)).leases, IsEmpty());
}

struct RetryCase {
  const char* name;
  // One letter an attempt of the only unit: a worker's name fails it; '!' loses
  // the worker that holds it; '.' lets the lease expire.
  const char* attempts;
  bool fails;
};
void PrintTo(const RetryCase& c, std::ostream* out) { *out << c.name; }

class Retries : public ::testing::TestWithParam<RetryCase> {};

TEST_P(Retries, AreLimited) {
  ScheduleOptions options = TestOptions();
  options.worker_timeout = std::chrono::hours(100);
  Fleet fleet(options);
  fleet.AddJob("j", 1);
  int fresh = 0;
  const std::string attempts = GetParam().attempts;
  for (size_t i = 0; i < attempts.size(); ++i) {
    ASSERT_FALSE(fleet.Ended("j")) << "after " << i << " attempts";
    const bool named = attempts[i] != '!' && attempts[i] != '.';
    const std::string worker = named ? std::string(1, attempts[i]) : absl::StrCat("fresh", ++fresh);
    const LeaseGrant lease = fleet.Take(worker);
    ASSERT_FALSE(lease.token.empty());
    if (named) {
      fleet.Fail(worker, lease, Gone());
      // It leaves, so that the same or another may be next.
      WorkerReport bye = Fleet::From(worker);
      bye.draining = true;
      fleet.Send(bye);
    } else {
      fleet.Pass(seconds(100));
      fleet.Tick();
      WorkerReport bye = Fleet::From(worker);
      bye.draining = true;
      fleet.Send(bye);
    }
  }
  EXPECT_EQ(fleet.Ended("j"), GetParam().fails);
  EXPECT_EQ(fleet.Error("j").ok(), !GetParam().fails);
  EXPECT_EQ(fleet.Status("j").retries, attempts.size());
}

INSTANTIATE_TEST_SUITE_P(Table, Retries,
                         ::testing::Values(RetryCase{"OnceIsForgiven", "a", false},
                                           RetryCase{"TwoWorkers", "ab", false},
                                           RetryCase{"ThreeWorkers", "abc", true},
                                           RetryCase{"OneWorkerFourTimes", "aaaa", false},
                                           RetryCase{"OneWorkerFiveTimes", "aaaaa", true},
                                           RetryCase{"TwoWorkersInTurn", "abab", false},
                                           RetryCase{"TwoWorkersFiveTimes", "ababa", true},
                                           RetryCase{"FourLost", "....", false},
                                           RetryCase{"FiveLost", ".....", true},
                                           RetryCase{"FailedAndLost", "a..b", false},
                                           RetryCase{"FailedAndLostTooOften", "a..b.", true}),
                         [](const auto& c) { return std::string(c.param.name); });

TEST(Trouble, AUnitThatKillsItsWorkersDoesNotKillTheFleet) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  int killed = 0;
  while (!fleet.Ended("j") && killed < 100) {
    fleet.Take(absl::StrCat("w", killed++));
    fleet.Pass(seconds(30));
    fleet.Tick();
  }
  EXPECT_EQ(killed, 5);
  EXPECT_TRUE(absl::IsUnavailable(fleet.Error("j")));
  EXPECT_THAT(Message(fleet.Error("j")), AllOf(HasSubstr("5 times"), HasSubstr("w4")));
}

TEST(Trouble, FailedUnitWaitsBeforeItIsTriedAgain) {
  ScheduleOptions options = TestOptions();
  options.retry_delay = seconds(1);
  options.max_retry_delay = seconds(3);
  Fleet fleet(options);
  fleet.AddJob("j", 1);
  for (const int delay : {1, 2, 3, 3}) {
    fleet.Fail("w", fleet.Take("w"), Gone());
    fleet.Pass(milliseconds(delay * 1000 - 1));
    EXPECT_THAT(fleet.Send(Fleet::From("w", 1)).leases, IsEmpty()) << delay;
    fleet.Pass(milliseconds(1));
  }
}

TEST(Trouble, FailedUnitRatherGoesToAnotherWorker) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  fleet.Send(Fleet::From("other"));
  fleet.Fail("w", fleet.Take("w"), Gone());
  EXPECT_THAT(fleet.Send(Fleet::From("w", 1)).leases, IsEmpty());
  EXPECT_EQ(fleet.Take("other").unit, 0u);
}

TEST(Trouble, FailedUnitReturnsToItsWorkerWhenTheOthersAreTooSmallOrLeaving) {
  Fleet fleet;
  fleet.AddJob("j", 1, /*memory=*/500);
  WorkerReport small = Fleet::From("small");
  small.memory = 499;
  fleet.Send(small);
  const LeaseGrant held = fleet.Take("w");
  fleet.Fail("w", held, Gone());
  EXPECT_EQ(fleet.Take("w").unit, 0u);
}

// The worker's heartbeats go on; its computation does not.
void HangUntilItIsLost(Fleet& fleet, const std::string& worker, const LeaseGrant& lease,
                       const std::vector<WorkerReport>& others = {}) {
  std::vector<WorkerReport> reports = others;
  reports.push_back(Fleet::From(worker));
  reports.back().in_flight.push_back({lease.token, 0, 0});
  fleet.PassWithHeartbeats(seconds(100), reports);
}

TEST(Trouble, AUnitThatOneFailedOnAndAnotherLostGoesBackToTheFirst) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  fleet.Send(Fleet::From("hangs"));
  fleet.Fail("failed", fleet.Take("failed"), Gone());
  const LeaseGrant hung = fleet.Take("hangs");
  HangUntilItIsLost(fleet, "hangs", hung, {Fleet::From("failed")});
  ASSERT_EQ(fleet.Status("j").retries, 2u);
  EXPECT_EQ(fleet.Take("failed").unit, 0u);
}

TEST(Trouble, AWorkerThatHangsTwiceDoesNotGetTheUnitAThirdTime) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  fleet.Send(Fleet::From("hangs"));
  fleet.Fail("failed", fleet.Take("failed"), Gone());
  for (int times = 0; times < 2; ++times) {
    HangUntilItIsLost(fleet, "hangs", fleet.Take("hangs"), {Fleet::From("failed")});
  }
  EXPECT_THAT(fleet.Send(Fleet::From("hangs", 1)).leases, IsEmpty());
  fleet.Complete("failed", fleet.Take("failed"));
  EXPECT_TRUE(fleet.Ended("j"));
  EXPECT_TRUE(fleet.Error("j").ok()) << fleet.Error("j");
}

TEST(Trouble, AUnitDoesNotWaitForAnotherWorkerForEver) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  fleet.AddJob("busy", 1, /*memory=*/10, /*bytes=*/1);
  const WorkerReport other = Fleet::From("other");  // lives, and asks for nothing
  fleet.Send(other);
  fleet.Fail("w", fleet.Take("w"), Gone());
  fleet.Complete("w", fleet.Take("w"));  // of the other job
  fleet.PassWithHeartbeats(seconds(90), {other});
  EXPECT_THAT(fleet.Send(Fleet::From("w", 1)).leases, IsEmpty());
  fleet.PassWithHeartbeats(seconds(10), {other});
  const LeaseGrant again = fleet.Take("w");
  EXPECT_EQ(again.job, "j");
  // It fails on it again: now it waits twice as long.
  fleet.Fail("w", again, Gone());
  fleet.PassWithHeartbeats(seconds(190), {other});
  EXPECT_THAT(fleet.Send(Fleet::From("w", 1)).leases, IsEmpty());
  fleet.PassWithHeartbeats(seconds(10), {other});
  EXPECT_EQ(fleet.Take("w").job, "j");
}

TEST(Trouble, AWorkerThatMayNotReadDoesNotEndTheJobForOthers) {
  for (const absl::Status& why : {absl::PermissionDeniedError("a.safetensors: permission denied"),
                                  absl::UnauthenticatedError("the token is not known"),
                                  absl::NotFoundError("no such file")}) {
    Fleet fleet;
    fleet.AddJob("j", 1);
    fleet.Send(Fleet::From("good"));
    fleet.Fail("other-user", fleet.Take("other-user"), why);
    EXPECT_FALSE(fleet.Ended("j")) << fleet.Error("j");
    EXPECT_THAT(fleet.Send(Fleet::From("other-user", 1)).leases, IsEmpty());
    fleet.Complete("good", fleet.Take("good"));
    EXPECT_TRUE(fleet.Ended("j"));
    EXPECT_TRUE(fleet.Error("j").ok()) << fleet.Error("j");
  }
}

TEST(Trouble, WhatNoWorkerMayReadFailsTheJobWithThatReason) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  for (const char* worker : {"a", "b", "c"}) {
    ASSERT_FALSE(fleet.Ended("j"));
    fleet.Fail(worker, fleet.Take(worker), absl::PermissionDeniedError("a.safetensors: denied"));
  }
  ASSERT_TRUE(fleet.Ended("j"));
  EXPECT_TRUE(absl::IsPermissionDenied(fleet.Error("j")));
  EXPECT_THAT(Message(fleet.Error("j")), HasSubstr("was tried 3 times"));
}

TEST(Trouble, AWorkerThatLostAUnitBeforeARestartIsNotTheFirstToGetItAgain) {
  Fleet fleet;
  std::vector<UnitDemand> demands(1, {10, 100});
  demands[0].attempts = 1;
  demands[0].lost_on = {"hangs"};
  fleet.Send(Fleet::From("other"));
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, demands, fleet.now()).ok());
  EXPECT_THAT(fleet.Send(Fleet::From("hangs", 1)).leases, IsEmpty());
  EXPECT_EQ(fleet.Take("other").unit, 0u);
}

TEST(Trouble, FailureOfALeaseThatIsGoneIsNotCountedAgain) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("w");
  fleet.Pass(seconds(30));
  fleet.Tick();
  EXPECT_EQ(fleet.Status("j").retries, 1u);
  EXPECT_THAT(fleet.Fail("w", lease, absl::NotFoundError("gone")).acknowledged,
              ElementsAre(lease.token));
  EXPECT_EQ(fleet.Status("j").retries, 1u);
  EXPECT_FALSE(fleet.Ended("j"));
}

TEST(Trouble, FailureOfAUnitThatAnotherWorkerCompletedIsIgnored) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  const LeaseGrant late = fleet.Take("w");
  fleet.Pass(seconds(40));
  fleet.Tick();
  fleet.Complete("v", fleet.Take("v"));
  EXPECT_THAT(fleet.Fail("w", late, absl::DataLossError("torn")).acknowledged,
              ElementsAre(late.token));
  EXPECT_FALSE(fleet.Ended("j"));
  EXPECT_EQ(fleet.Status("j").units_done, 1u);
  // Also where its lease was live when the other's late result came.
  const LeaseGrant first = fleet.Take("x");
  fleet.Pass(seconds(40));
  fleet.Tick();
  const LeaseGrant second = fleet.Take("y");
  ASSERT_EQ(second.unit, first.unit);
  fleet.Complete("x", first);
  fleet.Fail("y", second, absl::DataLossError("torn"));
  EXPECT_TRUE(fleet.Ended("j"));
  EXPECT_TRUE(fleet.Error("j").ok());
}

TEST(Trouble, OneWorkerCannotFailAnothersLease) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("w");
  fleet.Fail("other", lease, absl::InvalidArgumentError("bad"));
  EXPECT_FALSE(fleet.Ended("j"));
}

TEST(Results, LateResultOfAPendingUnitCounts) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("w");
  fleet.Pass(seconds(40));
  fleet.Tick();
  fleet.Complete("w", lease);
  EXPECT_TRUE(fleet.Ended("j"));
  EXPECT_TRUE(fleet.Error("j").ok());
}

TEST(Results, LateResultOfAUnitLeasedElsewhereCountsAndRevokes) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  const LeaseGrant late = fleet.Take("w");
  fleet.Pass(seconds(40));
  fleet.Tick();
  const LeaseGrant second = fleet.Take("v");
  ASSERT_EQ(second.unit, late.unit);
  fleet.Complete("w", late);
  EXPECT_EQ(fleet.Status("j").units_done, 1u);
  EXPECT_THAT(fleet.Report("v", second, 50, 5).revoked, ElementsAre(second.token));
}

TEST(Results, SecondResultWithTheSameChecksumIsAccepted) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  const LeaseGrant late = fleet.Take("w");
  fleet.Pass(seconds(40));
  fleet.Tick();
  const LeaseGrant second = fleet.Take("v");
  fleet.Complete("v", second);
  EXPECT_THAT(fleet.Complete("w", late).acknowledged, ElementsAre(late.token));
  EXPECT_FALSE(fleet.Ended("j"));
  EXPECT_EQ(fleet.Status("j").units_done, 1u);
}

TEST(Results, SecondResultWithAnotherChecksumFailsTheJobAndNamesBothWorkers) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  const LeaseGrant late = fleet.Take("slow-w");
  fleet.Pass(seconds(40));
  fleet.Tick();
  fleet.Complete("quick-v", fleet.Take("quick-v"), "one digest");
  fleet.Complete("slow-w", late, "another digest");
  ASSERT_TRUE(fleet.Ended("j"));
  EXPECT_TRUE(absl::IsDataLoss(fleet.Error("j")));
  EXPECT_THAT(Message(fleet.Error("j")),
              AllOf(HasSubstr("unit 0 of 2"), HasSubstr("slow-w"), HasSubstr("quick-v")));
}

TEST(Results, ReportedTwiceCountsOnce) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  const LeaseGrant lease = fleet.Take("w");
  fleet.Complete("w", lease);
  EXPECT_THAT(fleet.Complete("w", lease).acknowledged, ElementsAre(lease.token));
  EXPECT_EQ(fleet.Status("j").units_done, 1u);
  EXPECT_EQ(fleet.Status("j").bytes_done, 100u);
}

TEST(Results, TokensThatWereNeverIssuedAndThoseOfOtherUnitsAreIgnored) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  LeaseGrant lease = fleet.Take("w");
  LeaseGrant forged = lease;
  forged.token = "guessed";
  EXPECT_THAT(fleet.Complete("thief", forged).acknowledged, ElementsAre("guessed"));
  lease.unit = 1;
  fleet.Complete("w", lease);
  EXPECT_EQ(fleet.Status("j").units_done, 0u);
}

TEST(Results, OfAJobThatIsOverAreAcknowledged) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("w");
  fleet.schedule.RemoveJob("j");
  EXPECT_THAT(fleet.Complete("w", lease).acknowledged, ElementsAre(lease.token));
}

TEST(Cancel, RevokesLeasesAndGivesTheNextJobItsTurn) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  fleet.AddJob("k", 1);
  const LeaseGrant lease = fleet.Take("w");
  ASSERT_EQ(lease.job, "j");
  fleet.schedule.RemoveJob("j");
  EXPECT_FALSE(fleet.schedule.Status("j").has_value());
  WorkerReport report = Fleet::From("w", 1);
  report.in_flight.push_back({lease.token, 10, 1});
  const WorkerAnswer answer = fleet.Send(report);
  EXPECT_THAT(answer.revoked, ElementsAre(lease.token));
  ASSERT_EQ(answer.leases.size(), 1u);
  EXPECT_EQ(answer.leases[0].job, "k");
}

TEST(Epoch, TokensOfAnEarlierStartAreRevokedAndTheirResultsAcknowledged) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  WorkerReport report = Fleet::From("w");
  report.in_flight.push_back({"old-flight", 10, 1});
  report.completed.push_back({"old-done", "old-job", Fleet::Result(0)});
  report.failed.push_back({"old-failed", "j", 0, absl::InvalidArgumentError("old")});
  report.returned.push_back("old-returned");
  const WorkerAnswer answer = fleet.Send(report);
  EXPECT_THAT(answer.revoked, ElementsAre("old-flight"));
  EXPECT_THAT(answer.acknowledged, ElementsAre("old-done", "old-failed", "old-returned"));
  EXPECT_FALSE(fleet.Ended("j"));
}

TEST(Memory, SmallWorkerSkipsLargeUnits) {
  Fleet fleet;
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, UnitBatch({{2000, 1}, {10, 1}}), fleet.now()).ok());
  EXPECT_EQ(fleet.Take("small").unit, 1u);
}

TEST(Memory, AUnitThatFitsNobodyIsShownAndFailsTheJobAfterTheLimit) {
  Fleet fleet;
  fleet.AddJob("j", 1, /*memory=*/uint64_t{3} << 30);
  fleet.Tick();
  EXPECT_THAT(fleet.Status("j").detail, HasSubstr("no worker is alive"));
  fleet.PassWithHeartbeats(seconds(290), {Fleet::From("small", 1)});
  EXPECT_FALSE(fleet.Ended("j"));
  EXPECT_THAT(fleet.Status("j").detail, AllOf(HasSubstr("unit 0 of 1"), HasSubstr("3.00 GiB"),
                                              HasSubstr("1 live worker"), HasSubstr("--memory")));
  fleet.PassWithHeartbeats(seconds(20), {Fleet::From("small", 1)});
  ASSERT_TRUE(fleet.Ended("j"));
  EXPECT_TRUE(absl::IsResourceExhausted(fleet.Error("j")));
}

TEST(Memory, ALargerWorkerInTimeSavesTheJob) {
  Fleet fleet;
  fleet.AddJob("j", 1, /*memory=*/5000);
  fleet.PassWithHeartbeats(seconds(250), {Fleet::From("small", 1)});
  WorkerReport large = Fleet::From("large", 1);
  large.memory = 5000;
  EXPECT_EQ(fleet.Send(large).leases.size(), 1u);
  EXPECT_THAT(fleet.Status("j").detail, IsEmpty());
  fleet.PassWithHeartbeats(seconds(90), {Fleet::From("small", 1)});
  EXPECT_FALSE(fleet.Ended("j"));
}

TEST(Memory, WithoutWorkersAJobWaitsForEver) {
  Fleet fleet;
  fleet.AddJob("j", 1, /*memory=*/5000);
  fleet.PassWithHeartbeats(seconds(3000), {});
  EXPECT_FALSE(fleet.Ended("j"));
}

TEST(Trouble, IsToldOnceWithWhoAndWhy) {
  Fleet fleet;
  fleet.AddJob("j", 2);
  const LeaseGrant a = fleet.Take("w1");
  fleet.Take("w2");
  fleet.Fail("w1", a, Gone());
  const std::vector<UnitTrouble> failed = fleet.schedule.TakeTrouble();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].job, "j");
  EXPECT_EQ(failed[0].unit, a.unit);
  EXPECT_EQ(failed[0].worker, "w1");
  EXPECT_TRUE(failed[0].reported);
  EXPECT_EQ(failed[0].why, Gone());
  fleet.Pass(seconds(30));
  fleet.Tick();
  const std::vector<UnitTrouble> lost = fleet.schedule.TakeTrouble();
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].worker, "w2");
  EXPECT_FALSE(lost[0].reported);
  EXPECT_THAT(fleet.schedule.TakeTrouble(), IsEmpty());
}

TEST(Trouble, AttemptsBeforeARestartCount) {
  Fleet fleet;
  std::vector<UnitDemand> demands(2, {10, 100});
  demands[0].attempts = 4;
  demands[1].attempts = 2;
  demands[1].failed_on = {"a", "b"};
  ASSERT_TRUE(fleet.schedule.AddJob("j", 1, demands, fleet.now()).ok());
  ASSERT_TRUE(fleet.schedule.AddJob("k", 2, demands, fleet.now()).ok());
  const LeaseGrant first = fleet.Take("c");
  ASSERT_EQ(first.unit, 0u);
  fleet.Fail("c", first, Gone());
  EXPECT_THAT(Message(fleet.Error("j")), HasSubstr("was tried 5 times"));
  WorkerReport bye = Fleet::From("c");
  bye.draining = true;
  fleet.Send(bye);
  // Of the other job: a third worker is the last.
  const WorkerReport report = Fleet::From("d", 2);
  const WorkerAnswer answer = fleet.Send(report);
  ASSERT_EQ(answer.leases.size(), 2u);
  ASSERT_EQ(answer.leases[1].unit, 1u);
  fleet.Fail("d", answer.leases[1], Gone());
  EXPECT_THAT(Message(fleet.Error("k")), HasSubstr("was tried 3 times"));
}

TEST(Trouble, UnitsThatWaitToBeRecordedKeepTheirLeases) {
  Fleet fleet;
  fleet.AddJob("j", 1);
  const LeaseGrant lease = fleet.Take("w");
  EXPECT_TRUE(fleet.schedule.Expects("j", lease.token, 0, 0));
  EXPECT_FALSE(fleet.schedule.Expects("j", lease.token, 1, 0));
  EXPECT_FALSE(fleet.schedule.Expects("j", lease.token, 0, 1));
  EXPECT_FALSE(fleet.schedule.Expects("j", "other", 0, 0));
  EXPECT_FALSE(fleet.schedule.Expects("k", lease.token, 0, 0));
  // Far beyond lease and stall limit: it is the coordinator that is in the way.
  for (int i = 0; i < 200; ++i) {
    fleet.Pass(seconds(10));
    WorkerReport report = Fleet::From("w");
    report.unrecorded = {lease.token};
    const WorkerAnswer answer = fleet.Send(report);
    EXPECT_THAT(answer.acknowledged, IsEmpty());
    EXPECT_THAT(answer.revoked, IsEmpty());
  }
  EXPECT_EQ(fleet.Status("j").retries, 0u);
  EXPECT_EQ(fleet.Status("j").units_leased, 1u);
  EXPECT_THAT(fleet.Complete("w", lease).acknowledged, ElementsAre(lease.token));
  EXPECT_TRUE(fleet.Ended("j"));
  EXPECT_FALSE(fleet.schedule.Expects("j", lease.token, 0, 0));
}

}  // namespace
}  // namespace merganser
