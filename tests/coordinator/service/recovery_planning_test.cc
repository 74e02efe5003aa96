// A coordinator that was killed and started again: jobs that are planned again, and what they wait
// for.
#include <chrono>
#include <string>
#include <thread>
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

// The events that earlier processes left of the job.
void PutEvents(MemoryJobStore& store, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) store.AddEvents("j1", {{{WallTime(), text}, {}}});
}

const std::string kBegins = "planning begins";
const std::string kAgain = "the coordinator was started again";

TEST_F(RecoveryTest, AJobThatEndsCoordinatorsAsTheyPlanItFailsAtLast) {
  int discarded = 0;
  for (const JobState state : {JobState::kPlanning, JobState::kRunning}) {
    Killed(state);
    PutEvents(memory_, {"created", kBegins, kAgain, kBegins, kAgain, kBegins});
    Start();
    const JobInfo end = AwaitEnd(*jobs_, kName);
    EXPECT_EQ(end.state, JobState::kFailed);
    EXPECT_TRUE(absl::IsInternal(end.error)) << end.error;
    EXPECT_EQ(end.error_reason, "RUN_FAILED");
    EXPECT_THAT(std::string(end.error.message()), HasSubstr("died 3 times while it planned"));
    EXPECT_EQ(storage_.begun() + storage_.resumed(), 0);
    EXPECT_EQ(storage_.discarded(), ++discarded);  // what earlier processes left of it
    jobs_.reset();
    ASSERT_TRUE(memory_.Remove("j1").ok());
  }
}

TEST_F(RecoveryTest, WhatIsNoDeathWhilePlanningDoesNotCount) {
  const std::vector<std::vector<std::string>> histories = {
      {"created", kBegins, kAgain, kBegins},
      // Ends of other kinds, between and after.
      {kBegins, kAgain, kBegins, "waits for storage: x", kAgain, kBegins,
       "the coordinator stops before it is planned"},
      // It was planned since.
      {kBegins, kAgain, kBegins, kAgain, kBegins, "goes on: 0 units of all rounds are done", kAgain,
       kBegins, kAgain, kBegins},
  };
  for (const std::vector<std::string>& history : histories) {
    Killed(JobState::kRunning);
    PutEvents(memory_, history);
    Start();
    WorkOff();
    EXPECT_EQ(AwaitEnd(*jobs_, kName).state, JobState::kSucceeded);
    jobs_.reset();
    ASSERT_TRUE(memory_.Remove("j1").ok());
  }
}

TEST_F(RecoveryTest, PlanningIsOnRecordBeforeItBeginsAndAnOrderlyStopToo) {
  Killed(JobState::kQueued);
  storage_.Close();
  Start();
  while (Get().state != JobState::kPlanning) std::this_thread::yield();
  const auto texts = [&] {
    std::vector<std::string> found;
    const auto events = memory_.Events("j1");
    for (const StoredEvent& stored : events.value()) found.push_back(stored.event.text);
    return found;
  };
  EXPECT_THAT(texts(), ElementsAre(kBegins));
  std::thread stopping([&] { jobs_->Shutdown(); });
  while (texts().size() < 2) std::this_thread::yield();
  storage_.Open();
  stopping.join();
  EXPECT_THAT(texts(), ElementsAre(kBegins, "the coordinator stops before it is planned"));
}

TEST_F(RecoveryTest, AWrongRequestStaysWrongWhereItsFirstPlanningWasInterrupted) {
  Killed(JobState::kPlanning);
  storage_.FailPrepare(absl::InvalidArgumentError("tensor t has another shape"));
  Start();
  EXPECT_EQ(AwaitEnd(*jobs_, kName).error_reason, "REQUEST_WRONG");
}

TEST_F(RecoveryTest, AnOutputThatIsTakenIsTheRequestsFaultWhoeverBeginsIt) {
  Killed(JobState::kPlanning);
  storage_.FailResumeOnce(absl::FailedPreconditionError("held by job j2"));
  Start();
  EXPECT_EQ(AwaitEnd(*jobs_, kName).error_reason, "REQUEST_WRONG");
}

TEST_F(RecoveryTest, WhatWasPlannedOnceWasNoWrongRequest) {
  for (const bool prepared : {false, true}) {
    Killed(JobState::kRunning);
    const auto wrong = absl::FailedPreconditionError("no longer so");
    storage_.FailPrepare(prepared ? absl::OkStatus() : wrong);
    if (prepared) storage_.FailResumeOnce(wrong);
    Start();
    EXPECT_EQ(AwaitEnd(*jobs_, kName).error_reason, "RUN_FAILED");
  }
}

TEST_F(RecoveryTest, InputsThatAreNotThereYetAreWaitedFor) {
  Killed(JobState::kRunning);
  PutOnRecord(Result(0));
  storage_.FailPrepare(absl::NotFoundError("model '/a': found no folder"));
  Start();
  while (Get().progress.detail.find("found no folder") == std::string::npos && !HasFailure()) {
    std::this_thread::yield();
  }
  EXPECT_THAT(Events(), Contains(HasSubstr("mount its storage, or cancel the job")));
  storage_.FailPrepare(absl::OkStatus());
  EXPECT_EQ(WorkOff().size(), kUnits - 1);
  EXPECT_EQ(Get().state, JobState::kSucceeded);
}

// Nothing was begun of it: where the mounts come late it is no worse off than one that was.
TEST_F(RecoveryTest, InputsOfAQueuedJobAreWaitedForToo) {
  for (const JobState state : {JobState::kQueued, JobState::kPlanning}) {
    Killed(state);
    storage_.FailPrepare(absl::NotFoundError("model '/a': found no folder"));
    Start();
    while (Get().progress.detail.find("found no folder") == std::string::npos && !HasFailure()) {
      std::this_thread::yield();
    }
    EXPECT_THAT(Events(), Contains(HasSubstr("it may be mounted late")));
    storage_.FailPrepare(absl::OkStatus());
    EXPECT_EQ(WorkOff().size(), kUnits);
    EXPECT_EQ(Get().state, JobState::kSucceeded);
  }
}

TEST_F(RecoveryTest, InputsThatNobodyEverSawAreNotWaitedForWithoutEnd) {
  inputs_wait_ = std::chrono::milliseconds(20);
  Killed(JobState::kQueued);
  storage_.FailPrepare(absl::NotFoundError("model '/a': found no folder"));
  Start();
  const JobInfo end = AwaitEnd(*jobs_, kName);
  EXPECT_EQ(end.error_reason, "REQUEST_WRONG");
  EXPECT_EQ(end.error.message(), "model '/a': found no folder");
}

TEST_F(RecoveryTest, StorageThatIsNotThereYetIsWaitedFor) {
  Killed(JobState::kRunning);
  PutOnRecord(Result(0));
  storage_.FailPrepare(absl::UnavailableError("the share is not mounted"));
  storage_.FailResumeOnce(absl::UnavailableError("nor is the output"));
  Start();
  while (Get().progress.detail.find("not mounted") == std::string::npos && !HasFailure()) {
    std::this_thread::yield();
  }
  EXPECT_EQ(Get().state, JobState::kRunning);
  storage_.FailPrepare(absl::OkStatus());
  EXPECT_EQ(WorkOff().size(), kUnits - 1);
  EXPECT_EQ(Get().state, JobState::kSucceeded);
  EXPECT_THAT(Events(), Contains(HasSubstr("waits for storage: the share is not mounted")));
}

TEST_F(RecoveryTest, AJobThatWaitsForStorageMayBeCancelled) {
  Killed(JobState::kRunning);
  storage_.FailPrepare(absl::UnavailableError("the share is not mounted"));
  Start();
  ASSERT_TRUE(jobs_->Cancel(kName, Operator()).ok());
  EXPECT_EQ(AwaitEnd(*jobs_, kName).state, JobState::kCancelled);
  EXPECT_EQ(storage_.discarded(), 1);
}

}  // namespace
}  // namespace merganser
