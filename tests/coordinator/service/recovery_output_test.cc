// A coordinator that was killed and started again: outputs that lost something, are held by others,
// or are published.
#include <cstdint>
#include <map>
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

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(RecoveryTest, UnitsThatWereWrittenOverAreDoneAgain) {
  for (const bool rounds : {false, true}) {
    FakeStorage storage(kUnits);
    if (rounds) storage.UseRounds();
    rounds_ = rounds;
    storage.LoseUnitsOnce({1, 3});
    MemoryJobStore fresh(SystemClock());
    const auto job = BeginOver(storage, fresh);
    ASSERT_TRUE(job.ok());
    const uint32_t last = rounds ? 1 : 0;
    std::map<uint32_t, int> written;
    while (!HasFailure() && !IsTerminal(Get(job->name).state)) {
      for (const LeaseGrant& lease : Take("w", 1)) {
        if (lease.round == last) ++written[lease.unit];
        WorkerReport report = From("w", 0);
        report.completed.push_back(
            CompletionOf(lease, Result(lease.unit, lease.round, rounds && lease.round == 0)));
        Sync(report);
      }
      if (written.size() == kUnits && written[1] == 2 && written[3] == 2) {
        AwaitEnd(*jobs_, job->name);
      }
    }
    EXPECT_EQ(written, (std::map<uint32_t, int>{{0, 1}, {1, 2}, {2, 1}, {3, 2}}));
    const JobInfo end = Get(job->name);
    EXPECT_EQ(end.state, JobState::kSucceeded) << end.error;
    EXPECT_EQ(end.progress.units_done, end.progress.units_total);
    EXPECT_EQ(end.progress.bytes_done, end.progress.bytes_total);
    EXPECT_EQ(storage.results().size(), kUnits);
    jobs_.reset();
  }
}

// By a worker that finds its upload gone, however often it tries.
TEST_F(RecoveryTest, UploadsThatAreGoneAreBegunAgain) {
  for (const bool rounds : {false, true}) {
    FakeStorage storage(kUnits);
    if (rounds) storage.UseRounds();
    rounds_ = rounds;
    storage.DropUnitsOnce({0, 2});
    MemoryJobStore memory(SystemClock());
    FaultJobStore fresh(memory, /*seed=*/1);
    const auto job = BeginOver(storage, fresh);
    ASSERT_TRUE(job.ok());
    const uint32_t last = rounds ? 1 : 0;
    std::map<uint32_t, int> written, analyzed;
    std::set<std::string> uploads;
    while (!HasFailure() && !IsTerminal(Get(job->name).state)) {
      for (const LeaseGrant& lease : Take("w", 1)) {
        WorkerReport report = From("w", 0);
        const std::string upload = UploadOf(lease.job);
        if (lease.round == last && lease.unit == 2 && upload == "upload") {
          report.failed.push_back(
              {lease.token, lease.job, lease.unit, absl::NotFoundError("no upload is under way")});
        } else {
          ++(lease.round == last ? written : analyzed)[lease.unit];
          report.completed.push_back(
              CompletionOf(lease, Result(lease.unit, lease.round, rounds && lease.round == 0)));
        }
        uploads.insert(upload);
        Sync(report);
      }
      if (written.size() == kUnits && written[0] == 2) AwaitEnd(*jobs_, job->name);
    }
    EXPECT_EQ(written, (std::map<uint32_t, int>{{0, 2}, {1, 1}, {2, 1}, {3, 1}}));
    for (const auto& [unit, times] : analyzed) EXPECT_EQ(times, 1) << unit;
    EXPECT_THAT(uploads, ElementsAre("upload", "upload-again"));
    const JobInfo end = Get(job->name);
    EXPECT_EQ(end.state, JobState::kSucceeded) << end.error;
    EXPECT_EQ(end.progress.units_done, end.progress.units_total);
    EXPECT_EQ(end.progress.bytes_done, end.progress.bytes_total);
    EXPECT_EQ(storage.results().size(), kUnits);
    jobs_.reset();
  }
}

TEST_F(RecoveryTest, AnotherPlanFailsTheJobAndNamesTheInput) {
  Killed(JobState::kRunning, "what it was");
  Start();
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_TRUE(absl::IsFailedPrecondition(job.error));
  EXPECT_EQ(job.error_reason, "RUN_FAILED");
  EXPECT_THAT(std::string(job.error.message()),
              AllOf(HasSubstr("found plan digest, expected what it was"),
                    HasSubstr("these inputs changed: /models/a")));
  EXPECT_EQ(storage_.discarded(), 1);
  EXPECT_EQ(storage_.resumed(), 0);
}

TEST_F(RecoveryTest, AnotherNumericsVersionFailsTheJobAndSaysSo) {
  JobRecord record = Killed(JobState::kRunning, "what it was");
  record.plan.numerics_version = kNumericsVersion + 1;
  ASSERT_TRUE(memory_.Save(record).ok());
  Start();
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(std::string(job.error.message()), HasSubstr("the numerics version is"));
}

TEST_F(RecoveryTest, AClaimThatIsGoneFailsTheJob) {
  Killed(JobState::kRunning);
  storage_.LoseClaim();
  Start();
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(std::string(job.error.message()), HasSubstr("claim is gone"));
  EXPECT_EQ(storage_.begun(), 0);
}

TEST_F(RecoveryTest, WithoutUsableWritesTheRecordIsForgottenFirst) {
  Killed(JobState::kRunning);
  PutOnRecord(Result(0));
  storage_.LoseWrites();
  store_.AddRule({.op = JobStoreOp::kForgetResults, .status = absl::UnavailableError("not now")});
  Start();
  EXPECT_EQ(WorkOff().size(), kUnits);
  EXPECT_EQ(Get().state, JobState::kSucceeded);
  EXPECT_EQ(store_.Calls(JobStoreOp::kForgetResults), 2u);
  EXPECT_EQ(storage_.resumed(), 2);
}

// The coordinator was moved to another machine, and the one before it may not have ended.
TEST_F(RecoveryTest, AHolderElsewhereIsWatchedBeforeItsJobIsTakenOver) {
  Killed(JobState::kRunning);
  storage_.FailResumeOnce(absl::AbortedError("its beat must stand still"));
  Start();
  EXPECT_EQ(WorkOff().size(), kUnits);
  EXPECT_EQ(Get().state, JobState::kSucceeded);
  EXPECT_EQ(storage_.resumed(), 2);
  EXPECT_THAT(Events(), Contains(HasSubstr("waits: its beat must stand still")));
}

TEST_F(RecoveryTest, AHolderElsewhereIsWatchedBeforeItsOutputIsRemoved) {
  JobRecord record = Killed(JobState::kRunning);
  record.info.cancelling = true;
  ASSERT_TRUE(memory_.Save(record).ok());
  storage_.FailDiscardOnce(absl::AbortedError("its beat must stand still"));
  Start();
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kCancelled);
  EXPECT_EQ(storage_.discarded(), 2);
  EXPECT_FALSE(storage_.claimed());
}

TEST_F(RecoveryTest, APublicationThatWasCompleteIsNotRepeated) {
  Killed(JobState::kPublishing);
  storage_.SetPublished();
  Start();
  const JobInfo job = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.report_summary, "a summary that was found");
  EXPECT_EQ(storage_.published(), 1);
  EXPECT_EQ(storage_.resumed(), 0);
}

TEST_F(RecoveryTest, APublicationThatWasNotIsRepeated) {
  Killed(JobState::kPublishing);
  for (uint32_t unit = 0; unit < kUnits; ++unit) PutOnRecord(Result(unit));
  storage_.ClosePublish();
  Start();
  storage_.AwaitPublish();
  EXPECT_EQ(Get().state, JobState::kPublishing);
  EXPECT_TRUE(absl::IsFailedPrecondition(jobs_->Cancel(kName, Operator()).status()));
  storage_.Open();
  EXPECT_EQ(AwaitEnd(*jobs_, kName).state, JobState::kSucceeded);
  EXPECT_EQ(storage_.published(), 1);
}

// All of it is to be done again: that is no publication.
TEST_F(RecoveryTest, APublicationThatLostItsWritesRunsAndMayBeCancelled) {
  Killed(JobState::kPublishing);
  for (uint32_t unit = 0; unit < kUnits; ++unit) PutOnRecord(Result(unit));
  storage_.LoseWrites();
  Start();
  Take("w", 1);
  EXPECT_EQ(Get().state, JobState::kRunning);
  const auto cancelled = jobs_->Cancel(kName, Operator());
  EXPECT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(AwaitEnd(*jobs_, kName).state, JobState::kCancelled);
  EXPECT_EQ(storage_.published(), 0);
}

}  // namespace
}  // namespace merganser
