// Planning that hangs in a file system: who may go on all the same.
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "coordinator/service/job_manager.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HungPlanningTest : public ::testing::Test {
 protected:
  HungPlanningTest() { options_.left_behind = 2; }
  ~HungPlanningTest() override { storage_.Open(); }

  void Start() {
    auto jobs = JobManager::Start(options_, SystemClock(), store_, storage_.Runs());
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    jobs_ = *std::move(jobs);
  }
  std::string Submit() {
    const auto job = jobs_->Create(ValidRequest(), "", "someone");
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->name : "";
  }
  // Submits a job, waits until it hangs, in Begin if it `begins`, and cancels it.
  JobInfo CancelHung(bool begins = false) {
    const std::string name = Submit();
    AwaitState(*jobs_, name, JobState::kPlanning);
    if (begins) storage_.AwaitBegin();
    const auto cancelled = jobs_->Cancel(name, Operator());
    EXPECT_TRUE(cancelled.ok()) << cancelled.status();
    return AwaitEnd(*jobs_, name);
  }
  void AwaitNobodyLeft() {
    while (jobs_->left_behind() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  FakeStorage storage_{/*units=*/2};
  JobManagerOptions options_ = QuickOptions();
  MemoryJobStore store_{SystemClock()};
  std::unique_ptr<JobManager> jobs_;
};

TEST_F(HungPlanningTest, ItCanBeCancelled) {
  storage_.Close();
  Start();
  const JobInfo end = CancelHung();
  EXPECT_EQ(end.state, JobState::kCancelled);
  EXPECT_THAT(end.warnings, IsEmpty());  // nothing was begun
  EXPECT_EQ(jobs_->left_behind(), 1u);
  storage_.Open();
  AwaitNobodyLeft();
  EXPECT_EQ(AwaitState(*jobs_, Submit(), JobState::kRunning).state, JobState::kRunning);
}

TEST_F(HungPlanningTest, WhatIsBegunLateGoesAgain) {
  storage_.CloseBegin();
  Start();
  const JobInfo end = CancelHung(/*begins=*/true);
  EXPECT_EQ(end.state, JobState::kCancelled);
  EXPECT_THAT(end.warnings, Contains(HasSubstr("partial output may remain: its storage does not")));
  EXPECT_EQ(storage_.abandoned(), 0);
  storage_.Open();
  AwaitNobodyLeft();
  EXPECT_EQ(storage_.begun(), 1);
  EXPECT_EQ(storage_.abandoned(), 1);
}

TEST_F(HungPlanningTest, StoppingDoesNotWaitForIt) {
  storage_.Close();
  Start();
  AwaitState(*jobs_, Submit(), JobState::kPlanning);
  jobs_->Shutdown();
  EXPECT_EQ(jobs_->left_behind(), 1u);
}

TEST_F(HungPlanningTest, OthersHaveItsPlace) {
  options_.active_jobs = 1;
  options_.lend_after = std::chrono::milliseconds(20);
  storage_.Close();
  Start();
  const std::string first = Submit();
  AwaitState(*jobs_, first, JobState::kPlanning);
  const std::string second = Submit();
  AwaitState(*jobs_, second, JobState::kPlanning);
  EXPECT_THAT(jobs_->Get(first)->progress.detail, HasSubstr("it has not answered for"));
  storage_.Open();
  AwaitState(*jobs_, first, JobState::kRunning);
  AwaitState(*jobs_, second, JobState::kRunning);
}

TEST_F(HungPlanningTest, MoreThanThatManyAreRefusedThere) {
  storage_.Close();
  Start();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(CancelHung().state, JobState::kCancelled);
  const JobInfo refused = AwaitEnd(*jobs_, Submit());
  EXPECT_EQ(refused.state, JobState::kFailed);
  EXPECT_EQ(refused.error_reason, "RETRY_MAY_HELP");
  EXPECT_THAT(std::string(refused.error.message()), HasSubstr("storage does not answer there"));
  storage_.Open();
  AwaitNobodyLeft();
  AwaitState(*jobs_, Submit(), JobState::kRunning);
}

}  // namespace
}  // namespace merganser
