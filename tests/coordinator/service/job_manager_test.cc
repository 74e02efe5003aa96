// Job states without a network: what ends a job, and as what.
#include "coordinator/service/job_manager.h"

#include <chrono>
#include <map>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JobManagerTest : public ::testing::Test {
 protected:
  void Start(const JobManagerOptions& options = QuickOptions()) {
    jobs_.reset();
    auto jobs = JobManager::Start(options, SystemClock(), store_, storage_.Runs());
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    jobs_ = *std::move(jobs);
  }
  void StartImpatient(int active_jobs = 4) {
    JobManagerOptions options = QuickOptions();
    options.active_jobs = active_jobs;
    options.retry_pause = std::chrono::milliseconds(5);
    Start(options);
  }
  std::string Submit(const std::string& id = "") {
    const auto job = jobs_->Create(ValidRequest(), id, "someone");
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->name : "";
  }

  // Does both units of the job as worker "w".
  void WorkOff(const std::string& name) {
    AwaitState(*jobs_, name, JobState::kRunning);
    WorkerReport report;
    report.worker = "w";
    report.memory = 1000;
    report.wanted = 2;
    // Its units come a moment after the state that they need.
    absl::StatusOr<WorkerAnswer> answer = WorkerAnswer();
    while (answer->leases.empty()) {
      report.sequence = ++sequence_;
      answer = jobs_->Sync(report);
      ASSERT_TRUE(answer.ok());
    }
    ASSERT_EQ(answer->leases.size(), 2u);
    report.sequence = ++sequence_;
    for (const LeaseGrant& lease : answer->leases) {
      UnitResult result;
      result.unit = lease.unit;
      result.segment_digests = {"d"};
      report.completed.push_back(CompletionOf(lease, result));
    }
    ASSERT_TRUE(jobs_->Sync(report).ok());
  }

  // Submits a job, does its units, and waits until it tells of `trouble`.
  std::string SubmitAndAwaitTrouble(const std::string& trouble) {
    std::string name = Submit();
    WorkOff(name);
    while (true) {
      const auto job = jobs_->Get(name);
      EXPECT_TRUE(job.ok() && !IsTerminal(job->state));
      if (!job.ok() || IsTerminal(job->state) || job->progress.detail == trouble) return name;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  FakeStorage storage_{/*units=*/2};
  MemoryJobStore store_{SystemClock()};
  std::unique_ptr<JobManager> jobs_;
  uint64_t sequence_ = 0;  // of the reports of worker "w"
};

struct FailureCase {
  const char* name;
  char stage;  // p: Prepare, b: Begin
  absl::StatusCode code;
  const char* reason;
};
void PrintTo(const FailureCase& c, std::ostream* out) { *out << c.name; }

class EarlyFailure : public JobManagerTest, public ::testing::WithParamInterface<FailureCase> {};

TEST_P(EarlyFailure, TellsWhoseFaultItIs) {
  const absl::Status status(GetParam().code, "what\nwent wrong");
  if (GetParam().stage == 'p') storage_.FailPrepare(status);
  if (GetParam().stage == 'b') storage_.FailBegin(status);
  Start();
  const JobInfo job = AwaitEnd(*jobs_, Submit());
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error.code(), GetParam().code);
  EXPECT_EQ(std::string(job.error.message()).find('\n'), std::string::npos);
  EXPECT_EQ(job.error_reason, GetParam().reason);
  EXPECT_TRUE(job.finished.has_value());
  EXPECT_EQ(storage_.abandoned(), 1);
}

TEST_F(JobManagerTest, AClaimWhoseHolderMayRunElsewhereIsWatched) {
  storage_.FailBegin(absl::AbortedError("its beat must stand still"));
  Start();
  const std::string name = Submit();
  EXPECT_EQ(AwaitState(*jobs_, name, JobState::kRunning).state, JobState::kRunning);
  EXPECT_EQ(storage_.begun(), 1);
}

INSTANTIATE_TEST_SUITE_P(
    Table, EarlyFailure,
    ::testing::Values(
        FailureCase{"BadRecipe", 'p', absl::StatusCode::kInvalidArgument, "REQUEST_WRONG"},
        FailureCase{"NoSuchModel", 'p', absl::StatusCode::kNotFound, "REQUEST_WRONG"},
        FailureCase{"StorageAway", 'p', absl::StatusCode::kUnavailable, "RETRY_MAY_HELP"},
        FailureCase{"OutputTaken", 'b', absl::StatusCode::kFailedPrecondition, "REQUEST_WRONG"},
        FailureCase{"DiskBroken", 'b', absl::StatusCode::kInternal, "RUN_FAILED"},
        FailureCase{"DiskFull", 'b', absl::StatusCode::kResourceExhausted, "RETRY_MAY_HELP"}),
    [](const auto& c) { return std::string(c.param.name); });

TEST_F(JobManagerTest, JobsThatAreQueuedAreCancelledAtOnce) {
  JobManagerOptions options = QuickOptions();
  options.active_jobs = 1;
  storage_.Close();
  Start(options);
  const std::string running = Submit();
  AwaitState(*jobs_, running, JobState::kPlanning);
  const std::string queued = Submit();
  const auto job = jobs_->Cancel(queued, Operator());
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->state, JobState::kCancelled);
  const auto again = jobs_->Cancel(queued, Operator());  // changes nothing
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->finished, job->finished);
  EXPECT_EQ(jobs_->Get(queued)->events.size(), 2u);  // created, cancelled
  // The one that is planning ends when planning does.
  const auto planning = jobs_->Cancel(running, Operator());
  ASSERT_TRUE(planning.ok());
  EXPECT_TRUE(planning->cancelling);
  storage_.Open();
  EXPECT_EQ(AwaitEnd(*jobs_, running).state, JobState::kCancelled);
  // It may have been left in its planning, and is abandoned when that wakes.
  for (int i = 0; i < 500 && storage_.abandoned() == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(storage_.abandoned(), 1);
}

TEST_F(JobManagerTest, TwoMayCancelAQueuedJobAtOnce) {
  JobManagerOptions options = QuickOptions();
  options.active_jobs = 1;
  options.lend_after = std::chrono::hours(1);  // nothing is taken from the queue meanwhile
  storage_.Close();
  Start(options);
  AwaitState(*jobs_, Submit(), JobState::kPlanning);
  for (int i = 0; i < 200; ++i) {
    const std::string queued = Submit();
    std::vector<std::thread> users;
    for (int user = 0; user < 2; ++user) {
      users.emplace_back([&] { EXPECT_TRUE(jobs_->Cancel(queued, Operator()).ok()); });
    }
    for (std::thread& user : users) user.join();
    ASSERT_EQ(jobs_->Get(queued)->state, JobState::kCancelled) << i;
  }
  storage_.Open();
}

TEST_F(JobManagerTest, TheHighestPriorityLeavesTheQueueFirst) {
  JobManagerOptions options = QuickOptions();
  options.active_jobs = 1;
  storage_.Close();
  Start(options);
  const std::string first = Submit();
  AwaitState(*jobs_, first, JobState::kPlanning);
  std::map<int, std::string> queued;
  for (const int priority : {-1, 0, 5, 1}) {
    JobRequest request = ValidRequest();
    request.priority = priority;
    const auto job = jobs_->Create(request, "", "someone");
    ASSERT_TRUE(job.ok()) << job.status();
    queued[priority] = job->name;
  }
  storage_.Open();
  AwaitState(*jobs_, first, JobState::kRunning);
  ASSERT_TRUE(jobs_->Cancel(first, Operator()).ok());
  for (const int priority : {5, 1, 0, -1}) {
    AwaitState(*jobs_, queued[priority], JobState::kRunning);
    for (const auto& [other, name] : queued) {
      if (other >= priority) continue;
      EXPECT_EQ(jobs_->Get(name)->state, JobState::kQueued) << other;
    }
    ASSERT_TRUE(jobs_->Cancel(queued[priority], Operator()).ok());
  }
}

TEST_F(JobManagerTest, TooManyQueuedJobsAreRefused) {
  JobManagerOptions options = QuickOptions();
  options.active_jobs = 1;
  options.queued_jobs = 1;
  storage_.Close();
  Start(options);
  AwaitState(*jobs_, Submit(), JobState::kPlanning);
  Submit();
  const auto refused = jobs_->Create(ValidRequest(), "", "someone");
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
  EXPECT_EQ(ReasonOf(refused.status()), "TOO_MANY_JOBS");
  storage_.Open();
}

TEST_F(JobManagerTest, OldFinishedJobsAreForgotten) {
  JobManagerOptions options = QuickOptions();
  options.finished_jobs = 2;
  storage_.FailPrepare(absl::InvalidArgumentError("no"));
  Start(options);
  const std::string first = Submit("id");
  AwaitEnd(*jobs_, first);
  for (int i = 0; i < 2; ++i) AwaitEnd(*jobs_, Submit());
  EXPECT_TRUE(absl::IsNotFound(jobs_->Get(first).status()));
  EXPECT_EQ(jobs_->List(0, "")->jobs.size(), 2u);
  // The store forgets it a moment after the manager.
  while (store_.Load()->size() > 2 && !HasFailure()) std::this_thread::yield();
  const absl::Status spent = jobs_->Create(ValidRequest(), "id", "someone").status();
  EXPECT_EQ(ReasonOf(spent), "REQUEST_ID_SPENT") << spent;
  EXPECT_THAT(std::string(spent.message()), HasSubstr(first));
}

TEST_F(JobManagerTest, ShutdownEndsJobsAndRemovesTheirOutput) {
  Start();
  const std::string name = Submit();
  AwaitState(*jobs_, name, JobState::kRunning);
  jobs_->Shutdown();
  const auto job = jobs_->Get(name);
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->state, JobState::kFailed);
  EXPECT_EQ(job->error_reason, "RETRY_MAY_HELP");
  EXPECT_EQ(storage_.abandoned(), 1);
  EXPECT_TRUE(absl::IsUnavailable(jobs_->Create(ValidRequest(), "", "someone").status()));
  EXPECT_TRUE(absl::IsUnavailable(jobs_->Sync({}).status()));
}

TEST_F(JobManagerTest, RestartKeepsHistory) {
  storage_.FailPrepare(absl::InvalidArgumentError("no"));
  Start();
  const uint64_t epoch = jobs_->epoch();
  const std::string finished = Submit("id-1");
  AwaitEnd(*jobs_, finished);
  Start();
  EXPECT_GT(jobs_->epoch(), epoch);
  EXPECT_EQ(jobs_->Get(finished)->state, JobState::kFailed);
  EXPECT_EQ(Submit("id-1"), finished);
}

TEST_F(JobManagerTest, CancelledWhileTheOutputIsBegun) {
  storage_.CloseBegin();
  Start();
  const std::string name = Submit();
  storage_.AwaitBegin();
  const auto cancelled = jobs_->Cancel(name, Operator());
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_TRUE(cancelled->cancelling);
  storage_.Open();
  const JobInfo job = AwaitEnd(*jobs_, name);
  EXPECT_EQ(job.state, JobState::kCancelled);
  EXPECT_FALSE(job.cancelling);
  EXPECT_EQ(storage_.abandoned(), 1);
}

TEST_F(JobManagerTest, ShutdownWhileTheOutputIsBegunRemovesIt) {
  storage_.CloseBegin();
  Start();
  const std::string name = Submit();
  storage_.AwaitBegin();
  std::thread shutdown([this] { jobs_->Shutdown(); });
  // Workers are turned away from the moment on at which it begins.
  WorkerReport report;
  report.worker = "w";
  do {
    ++report.sequence;
  } while (jobs_->Sync(report).ok());
  EXPECT_TRUE(absl::IsUnavailable(jobs_->Sync(report).status()));
  EXPECT_EQ(jobs_->FindPlan(name.substr(5)), nullptr);
  storage_.Open();
  shutdown.join();
  const JobInfo job = AwaitEnd(*jobs_, name);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error_reason, "RETRY_MAY_HELP");
  EXPECT_EQ(storage_.abandoned(), 1);
}

TEST_F(JobManagerTest, PublicationFailureIsTheRunsFault) {
  storage_.FailPublish(absl::DataLossError("a hole"));
  Start();
  const std::string name = Submit();
  WorkOff(name);
  const JobInfo job = AwaitEnd(*jobs_, name);
  EXPECT_EQ(job.error_reason, "RUN_FAILED");
  EXPECT_EQ(job.progress.units_done, 2u);
  EXPECT_EQ(storage_.abandoned(), 1);
  EXPECT_THAT(job.warnings, ElementsAre("a warning of the plan"));
}

TEST_F(JobManagerTest, APublicationWaitsForStorageThatRefusesItForNow) {
  storage_.FailPublish(absl::ResourceExhaustedError("disk full"));
  StartImpatient();
  const std::string name = SubmitAndAwaitTrouble("waits for storage: disk full");
  EXPECT_EQ(jobs_->Get(name)->state, JobState::kPublishing);
  EXPECT_EQ(storage_.abandoned(), 0);
  storage_.FailPublish(absl::OkStatus());
  const JobInfo job = AwaitEnd(*jobs_, name);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.report_summary, "a summary");
  EXPECT_TRUE(job.progress.detail.empty()) << job.progress.detail;
  EXPECT_EQ(storage_.published(), 1);
  EXPECT_EQ(storage_.abandoned(), 0);
}

TEST_F(JobManagerTest, APublicationThatWaitsMayBeCancelled) {
  storage_.FailPublish(absl::UnavailableError("storage is away"));
  StartImpatient();
  const std::string name = SubmitAndAwaitTrouble("waits for storage: storage is away");
  const auto cancelled = jobs_->Cancel(name, Operator());
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_TRUE(cancelled->cancelling);
  EXPECT_EQ(AwaitEnd(*jobs_, name).state, JobState::kCancelled);
  EXPECT_EQ(storage_.abandoned(), 1);
  EXPECT_EQ(storage_.published(), 0);
}

TEST_F(JobManagerTest, AJobThatWaitsForStorageHoldsUpNoOther) {
  storage_.FailPublish(absl::UnavailableError("storage is away"));
  StartImpatient(/*active_jobs=*/1);
  const std::string first = SubmitAndAwaitTrouble("waits for storage: storage is away");
  const std::string second = SubmitAndAwaitTrouble("waits for storage: storage is away");
  const std::string third = Submit();
  AwaitState(*jobs_, third, JobState::kRunning);
  const std::string fourth = Submit();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(jobs_->Get(fourth)->state, JobState::kQueued) << "the third runs";
  storage_.FailPublish(absl::OkStatus());
  EXPECT_EQ(AwaitEnd(*jobs_, first).state, JobState::kSucceeded);
  EXPECT_EQ(AwaitEnd(*jobs_, second).state, JobState::kSucceeded);
  WorkOff(third);
  EXPECT_EQ(AwaitEnd(*jobs_, third).state, JobState::kSucceeded);
  WorkOff(fourth);
  EXPECT_EQ(AwaitEnd(*jobs_, fourth).state, JobState::kSucceeded);
}

TEST_F(JobManagerTest, ACoordinatorWithoutAJournalThatStopsEndsAPublicationThatWaits) {
  storage_.FailPublish(absl::UnavailableError("storage is away"));
  StartImpatient();
  const std::string name = SubmitAndAwaitTrouble("waits for storage: storage is away");
  jobs_->Shutdown();
  const JobInfo job = AwaitEnd(*jobs_, name);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error_reason, "RETRY_MAY_HELP");
  EXPECT_EQ(storage_.abandoned(), 1);
}

TEST_F(JobManagerTest, WhatPublicationLeftBehindIsToldWithTheJob) {
  Start();
  const std::string name = Submit();
  WorkOff(name);
  const JobInfo job = AwaitEnd(*jobs_, name);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.report_summary, "a summary");
  EXPECT_THAT(job.warnings, ElementsAre("a warning of the plan", "a file stayed behind"));
  EXPECT_EQ(storage_.abandoned(), 0);
}

}  // namespace
}  // namespace merganser
