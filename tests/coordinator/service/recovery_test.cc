// A coordinator that was killed and started again: which units and rounds each job goes on with,
// and how it ends.
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/service/job_manager.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/service/recovery_fixture.h"

namespace merganser {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(RecoveryTest, QueuedJobsAreQueuedAgain) {
  Killed(JobState::kQueued);
  Start();
  EXPECT_EQ(WorkOff().size(), kUnits);
  EXPECT_EQ(Get().state, JobState::kSucceeded);
  EXPECT_EQ(storage_.begun(), 1);
  EXPECT_EQ(storage_.resumed(), 0);
}

TEST_F(RecoveryTest, PlanningBeforeTheOutputWasClaimedBeginsIt) {
  Killed(JobState::kPlanning);
  Start();
  EXPECT_EQ(WorkOff().size(), kUnits);
  EXPECT_EQ(Get().state, JobState::kSucceeded);
  EXPECT_EQ(storage_.begun(), 1);
}

TEST_F(RecoveryTest, PlanningAfterTheOutputWasClaimedTakesItOver) {
  Killed(JobState::kPlanning);
  storage_.SetBegun();
  Start();
  EXPECT_EQ(WorkOff().size(), kUnits);
  EXPECT_EQ(Get().state, JobState::kSucceeded);
  EXPECT_EQ(storage_.begun(), 0);
  EXPECT_EQ(storage_.resumed(), 1);
}

TEST_F(RecoveryTest, OnlyUnitsThatAreNotOnRecordAreRepeated) {
  Killed(JobState::kRunning);
  PutOnRecord(Result(0));
  PutOnRecord(Result(2));
  Start();
  const std::vector<LeaseGrant> leases = Take("w", 1);
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].unit, 1u);
  const JobInfo running = Get();
  EXPECT_EQ(running.state, JobState::kRunning);
  EXPECT_EQ(running.progress.units_done, 2u);
  EXPECT_EQ(running.progress.units_total, kUnits);
  EXPECT_EQ(running.progress.bytes_done, 200u);
  EXPECT_THAT(WorkOff(), ElementsAre(std::pair(0u, 1u), std::pair(0u, 3u)));
  const JobInfo end = Get();
  EXPECT_EQ(end.state, JobState::kSucceeded);
  EXPECT_EQ(end.progress.units_done, kUnits);
  EXPECT_THAT(storage_.workers(), ElementsAre("early", "w"));
  EXPECT_EQ(storage_.results().size(), kUnits);
  EXPECT_THAT(Events(), ElementsAre("the coordinator was started again", "planning begins",
                                    "goes on: 2 units of all rounds are done", "finished"));
  EXPECT_THAT(*memory_.Results("j1"), IsEmpty());  // of no use any more
}

TEST_F(RecoveryTest, WithAllUnitsOnRecordItIsPublished) {
  Killed(JobState::kRunning);
  for (uint32_t unit = 0; unit < kUnits; ++unit) PutOnRecord(Result(unit));
  Start();
  EXPECT_EQ(AwaitEnd(*jobs_, kName).state, JobState::kSucceeded);
  EXPECT_EQ(storage_.published(), 1);
}

TEST_F(RecoveryTest, AGateIsDerivedAgainFromWhatItsRoundLeft) {
  storage_.UseRounds();
  rounds_ = true;
  // The whole round that analyzes, and half of the one that writes.
  Killed(JobState::kRunning);
  for (uint32_t unit = 0; unit < kUnits; ++unit) PutOnRecord(Result(unit, 0, true));
  PutOnRecord(Result(1, 1));
  PutOnRecord(Result(3, 1));
  Start();
  EXPECT_THAT(WorkOff(), ElementsAre(std::pair(1u, 0u), std::pair(1u, 2u)));
  EXPECT_EQ(Get().state, JobState::kSucceeded);
  const std::vector<UnitResult> resumed = storage_.results();

  // Undisturbed: the same gate, told with the first unit.
  FakeStorage other(kUnits);
  other.UseRounds();
  MemoryJobStore fresh(SystemClock());
  auto jobs = JobManager::Start(QuickOptions(), SystemClock(), fresh, other.Runs());
  ASSERT_TRUE(jobs.ok());
  jobs_ = *std::move(jobs);
  const auto job = jobs_->Create(ValidRequest(), "", "someone");
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(WorkOff("w", job->name).size(), 2 * kUnits);
  const std::vector<UnitResult> undisturbed = other.results();
  ASSERT_EQ(resumed.size(), kUnits);
  ASSERT_EQ(undisturbed.size(), kUnits);
  ASSERT_FALSE(undisturbed[0].groups.empty());
  ASSERT_EQ(resumed[0].groups.size(), undisturbed[0].groups.size());
  for (size_t g = 0; g < undisturbed[0].groups.size(); ++g) {
    const ReportFields& a = resumed[0].groups[g].fields;
    const ReportFields& b = undisturbed[0].groups[g].fields;
    ASSERT_EQ(a.size(), b.size());
    for (size_t f = 0; f < a.size(); ++f) EXPECT_EQ(a[f].values, b[f].values) << a[f].key;
  }
  jobs_.reset();
}

TEST_F(RecoveryTest, ARoundThatIsHalfDoneGoesOn) {
  storage_.UseRounds();
  rounds_ = true;
  Killed(JobState::kRunning);
  PutOnRecord(Result(0, 0, true));
  Start();
  const auto did = WorkOff();
  EXPECT_EQ(did.size(), 2 * kUnits - 1);
  EXPECT_FALSE(did.contains({0, 0}));
  EXPECT_EQ(Get().state, JobState::kSucceeded);
}

// The gate cannot be derived: the job is not scheduled then, and what workers needed goes all
// the same.
TEST_F(RecoveryTest, AJobThatEndsBetweenRoundsKeepsNoPlan) {
  storage_.UseRounds();
  Killed(JobState::kRunning);
  for (uint32_t unit = 0; unit < kUnits; ++unit) {
    UnitResult nothing = Result(unit);
    nothing.segment_digests.clear();
    PutOnRecord(nothing);
  }
  Start();
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(std::string(job.error.message()), HasSubstr("stats of 0 sums"));
  EXPECT_EQ(jobs_->FindPlan("j1"), nullptr);
  EXPECT_EQ(jobs_->FindGates("j1", 0), nullptr);
}

TEST_F(RecoveryTest, AGracefulStopLeavesJobsToTheNextStart) {
  Start();
  const auto job = jobs_->Create(ValidRequest(), "", "someone");
  ASSERT_TRUE(job.ok()) << job.status();
  const LeaseGrant lease = Take("w", 1).at(0);
  WorkerReport report = From("w", 0);
  report.completed.push_back(CompletionOf(lease, Result(lease.unit)));
  Sync(report);
  jobs_->Shutdown();
  const JobInfo left = Get(job->name);
  EXPECT_EQ(left.state, JobState::kRunning);
  EXPECT_TRUE(left.error.ok());
  EXPECT_EQ(storage_.abandoned(), 0);
  // Its watchers are told to come again.
  const absl::Status watched = jobs_->Watch(
      job->name, [](const JobInfo&) { return true; }, [] { return false; });
  EXPECT_TRUE(absl::IsUnavailable(watched)) << watched;

  const uint64_t epoch = jobs_->epoch();
  Start();
  EXPECT_GT(jobs_->epoch(), epoch);
  const auto did = WorkOff("w2", job->name);
  EXPECT_EQ(did.size(), kUnits - 1);
  EXPECT_FALSE(did.contains({0, lease.unit}));
  EXPECT_EQ(Get(job->name).state, JobState::kSucceeded);
}

TEST_F(RecoveryTest, ALeaseOfAnOlderStartCountsForNothing) {
  Start();
  const auto job = jobs_->Create(ValidRequest(), "", "someone");
  ASSERT_TRUE(job.ok());
  const LeaseGrant old = Take("w", 1).at(0);
  Start();
  const LeaseGrant again = Take("v", 1).at(0);
  EXPECT_EQ(again.unit, old.unit);
  WorkerReport report = From("w", 0);
  report.completed.push_back(CompletionOf(old, Result(old.unit)));
  EXPECT_THAT(Sync(report).acknowledged, ElementsAre(old.token));
  EXPECT_EQ(Get(job->name).progress.units_done, 0u);
  EXPECT_THAT(*memory_.Results(job->uid), IsEmpty());
}

TEST_F(RecoveryTest, AJobThatWasBeingCancelledEndsCancelled) {
  JobRecord record = Killed(JobState::kRunning);
  record.info.cancelling = true;
  ASSERT_TRUE(memory_.Save(record).ok());
  Start();
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kCancelled);
  EXPECT_FALSE(job.cancelling);
  EXPECT_EQ(storage_.discarded(), 1);
  EXPECT_EQ(storage_.resumed(), 0);
}

TEST_F(RecoveryTest, AJobThatWasFailingEndsFailed) {
  JobRecord record = Killed(JobState::kRunning);
  record.info.error = absl::DataLossError("torn");
  record.info.error_reason = "RUN_FAILED";
  ASSERT_TRUE(memory_.Save(record).ok());
  Start();
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error, absl::DataLossError("torn"));
  EXPECT_EQ(job.error_reason, "RUN_FAILED");
  EXPECT_EQ(storage_.discarded(), 1);
}

TEST_F(RecoveryTest, DamagedResultsFailTheJob) {
  Killed(JobState::kRunning);
  ASSERT_TRUE(memory_.AddResults({{"j1", 0, 1, "not a result", "w", 1, ""}}).ok());
  Start();
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_TRUE(absl::IsDataLoss(job.error));
  EXPECT_THAT(std::string(job.error.message()), HasSubstr("result on record of unit 1"));
}

TEST_F(RecoveryTest, AttemptsCountAcrossStarts) {
  Killed(JobState::kRunning);
  StoredEvent lost;
  lost.event.text = "unit 0 was lost";
  lost.attempt = UnitAttempt{0, 0, "w", false};
  memory_.AddEvents("j1", std::vector<StoredEvent>(4, lost));
  Start();
  const LeaseGrant lease = Take("w", 1).at(0);
  ASSERT_EQ(lease.unit, 0u);
  EXPECT_EQ(Get().progress.retries, 4u);
  WorkerReport report = From("w", 0);
  report.failed.push_back({lease.token, lease.job, 0, absl::UnavailableError("gone")});
  Sync(report);
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(std::string(job.error.message()), HasSubstr("was tried 5 times"));
  EXPECT_THAT(Events(), Contains(HasSubstr("unit 0 failed on worker w: gone")));
}

// Failures on three workers end a job, whenever they were; losses do not.
TEST_F(RecoveryTest, WhoFailedOnAUnitAndWhoLostItAreToldApartAcrossStarts) {
  for (const bool reported : {true, false}) {
    SCOPED_TRACE(reported);
    memory_.Remove("j1").IgnoreError();
    Killed(JobState::kRunning);
    for (const char* worker : {"early", "late"}) {
      StoredEvent event;
      event.event.text = "trouble";
      event.attempt = UnitAttempt{0, 0, worker, reported};
      memory_.AddEvents("j1", {event});
    }
    Start();
    const LeaseGrant lease = Take("w", 1).at(0);
    ASSERT_EQ(lease.unit, 0u);
    WorkerReport report = From("w", 0);
    report.failed.push_back({lease.token, lease.job, 0, absl::UnavailableError("gone")});
    Sync(report);
    if (reported) {
      const JobInfo job = AwaitEnd(*jobs_, kName);
      EXPECT_EQ(job.state, JobState::kFailed);
      EXPECT_THAT(std::string(job.error.message()), HasSubstr("was tried 3 times"));
    } else {
      EXPECT_EQ(Get().state, JobState::kRunning);
      EXPECT_EQ(Get().progress.retries, 3u);
      EXPECT_EQ(Take("other", 1).at(0).unit, 0u);
    }
  }
}

TEST_F(RecoveryTest, ARequestIdOutlivesTheStart) {
  JobRecord record = Killed(JobState::kRunning);
  record.request_id = "id";
  ASSERT_TRUE(memory_.Save(record).ok());
  Start();
  const auto again = jobs_->Create(ValidRequest(), "id", "someone");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->name, kName);
}

}  // namespace
}  // namespace merganser
