// Deleting jobs, and changing their priorities.
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/log_format.h"
#include "coordinator/service/job_manager.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/fault_job_store.h"

namespace merganser {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

const Caller kAlice{"alice", RoleSet(Role::kSubmit)};
const Caller kBob{"bob", RoleSet(Role::kSubmit)};

class JobChangesTest : public ::testing::Test {
 protected:
  void Start(int active_jobs = 4) {
    jobs_.reset();
    JobManagerOptions options = QuickOptions();
    options.active_jobs = active_jobs;
    options.log = [this](const LogLine& line) {
      MutexLock lock(mutex_);
      if (line.message.find(" by ") != std::string::npos) log_.push_back(LogText(line));
    };
    auto jobs = JobManager::Start(options, SystemClock(), store_, storage_.Runs());
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    jobs_ = *std::move(jobs);
  }
  std::string Submit(const std::string& id = "") {
    const auto job = jobs_->Create(ValidRequest(), id, "alice");
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->name : "";
  }
  // A job of alice that has failed.
  std::string Ended(const std::string& id = "") {
    storage_.FailPrepare(absl::InvalidArgumentError("no"));
    std::string name = Submit(id);
    EXPECT_EQ(AwaitEnd(*jobs_, name).state, JobState::kFailed);
    return name;
  }
  std::vector<std::string> Events(const std::string& name) {
    std::vector<std::string> texts;
    const auto job = jobs_->Get(name);
    for (const JobEvent& event : job->events) texts.push_back(event.text);
    return texts;
  }
  std::vector<std::string> log() {
    MutexLock lock(mutex_);
    return log_;
  }

  Mutex mutex_;
  std::vector<std::string> log_ MERGANSER_GUARDED_BY(mutex_);
  FakeStorage storage_{/*units=*/2};
  MemoryJobStore memory_{SystemClock()};
  FaultJobStore store_{memory_, /*seed=*/1};
  std::unique_ptr<JobManager> jobs_;
};

TEST_F(JobChangesTest, ADeletedJobIsGoneAndItsRequestIdIsSpent) {
  Start();
  const std::string name = Ended("id"), other = Ended();
  EXPECT_TRUE(jobs_->Delete(name, kAlice).ok());
  const auto gone = [&] {
    EXPECT_EQ(ReasonOf(jobs_->Get(name).status()), "JOB_NOT_FOUND");
    const auto page = jobs_->List(0, "");
    EXPECT_EQ(page->total_size, 1u);
    EXPECT_EQ(page->jobs.at(0).name, other);
    const absl::Status again = jobs_->Create(ValidRequest(), "id", "alice").status();
    EXPECT_EQ(ReasonOf(again), "REQUEST_ID_SPENT") << again;
    EXPECT_EQ(MetadataOf(again)["job"], name);
    EXPECT_EQ(MetadataOf(again)["state"], "FAILED");
  };
  gone();
  EXPECT_EQ(ReasonOf(jobs_->Delete(name, kAlice)), "JOB_NOT_FOUND");
  EXPECT_THAT(log(), ElementsAre(EndsWith(" deleted by alice")));  // once
  Start();
  gone();
}

TEST_F(JobChangesTest, OnlyWhatHasEndedIsDeleted) {
  storage_.Close();
  Start(/*active_jobs=*/1);
  const std::string planning = Submit(), queued = Submit();
  AwaitState(*jobs_, planning, JobState::kPlanning);
  for (const std::string& name : {planning, queued}) {
    const absl::Status refused = jobs_->Delete(name, kAlice);
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_EQ(ReasonOf(refused), "JOB_NOT_FINISHED");
    EXPECT_TRUE(jobs_->Get(name).ok());
  }
  ASSERT_TRUE(jobs_->Cancel(queued, kAlice).ok());
  EXPECT_TRUE(jobs_->Delete(queued, kAlice).ok());
  storage_.Open();
}

TEST_F(JobChangesTest, OthersJobsAreForAdmins) {
  Start();
  const std::string name = Ended();
  EXPECT_EQ(ReasonOf(jobs_->Delete(name, kBob)), "NOT_OWNER");
  EXPECT_EQ(ReasonOf(jobs_->SetPriority(name, 1, kBob).status()), "NOT_OWNER");
  EXPECT_TRUE(jobs_->Get(name).ok());
  EXPECT_TRUE(jobs_->Delete(name, Operator()).ok());
  EXPECT_THAT(log(), ElementsAre(absl::StrCat("info  job=", name,
                                              " owner=alice state=FAILED deleted by operator")));
}

TEST_F(JobChangesTest, WhatTheStoreDoesNotForgetStays) {
  Start();
  const std::string name = Ended("id");
  for (const bool after_work : {false, true}) {
    store_.AddRule(
        {.op = JobStoreOp::kRemove, .times = kEveryJobStoreCall, .after_work = after_work});
    const absl::Status refused = jobs_->Delete(name, kAlice);
    EXPECT_EQ(ReasonOf(refused), "NOT_RECORDED") << refused;
    EXPECT_TRUE(RetryDelayOf(refused).has_value());
    EXPECT_TRUE(jobs_->Get(name).ok());
    EXPECT_EQ(jobs_->Create(ValidRequest(), "id", "alice")->name, name);
    store_.ClearRules();
  }
  EXPECT_TRUE(jobs_->Delete(name, kAlice).ok());
  EXPECT_EQ(ReasonOf(jobs_->Create(ValidRequest(), "id", "alice").status()), "REQUEST_ID_SPENT");
}

TEST_F(JobChangesTest, APriorityTakesEffectInTheQueueAtOnce) {
  storage_.Close();
  Start(/*active_jobs=*/1);
  const std::string first = Submit();
  AwaitState(*jobs_, first, JobState::kPlanning);
  const std::string second = Submit(), third = Submit();
  EXPECT_THAT(jobs_->Get(third)->progress.detail, HasSubstr("1 job before it"));
  const auto changed = jobs_->SetPriority(third, 7, kAlice);
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(changed->request.priority, 7);
  EXPECT_FALSE(changed->request.recipe.empty());
  EXPECT_THAT(jobs_->Get(third)->progress.detail, HasSubstr("0 jobs before it"));
  EXPECT_EQ(jobs_->List(1, "")->jobs.at(0).request.priority, 7);
  EXPECT_THAT(Events(third), ElementsAre("created", "priority 0 -> 7 by alice"));
  storage_.Open();
  ASSERT_TRUE(jobs_->Cancel(first, kAlice).ok());
  AwaitState(*jobs_, third, JobState::kRunning);
  EXPECT_EQ(jobs_->Get(second)->state, JobState::kQueued);
}

TEST_F(JobChangesTest, ARequestIdStandsForThePriorityThatWasAskedFor) {
  storage_.Close();
  Start(/*active_jobs=*/1);
  const std::string name = Submit("id");
  for (const int priority : {3, 5}) {
    ASSERT_TRUE(jobs_->SetPriority(name, priority, Operator()).ok());
  }
  const auto check = [&] {
    const auto again = jobs_->Create(ValidRequest(), "id", "alice");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->name, name);
    EXPECT_EQ(again->request.priority, 5);
    JobRequest other = ValidRequest();
    other.priority = 5;
    EXPECT_EQ(ReasonOf(jobs_->Create(other, "id", "alice").status()), "REQUEST_ID_REUSED");
  };
  check();
  EXPECT_THAT(log(), ElementsAre(EndsWith(" priority 0 -> 3 by operator"),
                                 EndsWith(" priority 3 -> 5 by operator")));
  storage_.Open();
  Start(/*active_jobs=*/1);
  check();
}

TEST_F(JobChangesTest, APriorityIsRefusedWhereItChangesNothingAnyMore) {
  Start();
  const std::string name = Ended();
  EXPECT_EQ(ReasonOf(jobs_->SetPriority(name, 1, kAlice).status()), "JOB_FINISHED");
  EXPECT_EQ(ReasonOf(jobs_->SetPriority(name, 1001, kAlice).status()), "PRIORITY_INVALID");
  EXPECT_EQ(ReasonOf(jobs_->SetPriority("jobs/none", 1, kAlice).status()), "JOB_NOT_FOUND");
  EXPECT_EQ(ReasonOf(jobs_->SetPriority("none", 1, kAlice).status()), "JOB_NAME_INVALID");
}

TEST_F(JobChangesTest, APriorityIsOnRecordBeforeItCounts) {
  storage_.Close();
  Start();
  const std::string name = Submit();
  AwaitState(*jobs_, name, JobState::kPlanning);
  store_.AddRule({.op = JobStoreOp::kSave, .times = kEveryJobStoreCall});
  EXPECT_TRUE(jobs_->SetPriority(name, 0, kAlice).ok());  // nothing to record
  const absl::Status refused = jobs_->SetPriority(name, 4, kAlice).status();
  EXPECT_EQ(ReasonOf(refused), "NOT_RECORDED") << refused;
  EXPECT_TRUE(RetryDelayOf(refused).has_value());
  EXPECT_EQ(jobs_->Get(name)->request.priority, 0);
  EXPECT_THAT(Events(name), Not(Contains(HasSubstr("priority"))));
  store_.ClearRules();
  EXPECT_TRUE(jobs_->SetPriority(name, 4, kAlice).ok());
  EXPECT_EQ(memory_.Load()->at(0).info.request.priority, 4);
  storage_.Open();
}

TEST_F(ServiceTest, APriorityTakesEffectOnUnitsAtOnce) {
  const auto first = client_->Submit(ValidRequest("/nowhere/a"));
  const auto second = client_->Submit(ValidRequest("/nowhere/b"));
  ASSERT_TRUE(first.ok() && second.ok());
  // A job is running before its units are there to be had.
  for (const std::string& name : {first->name, second->name}) {
    while (client_->Get(name)->progress.units_total == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  ASSERT_TRUE(client_->SetPriority(second->name, 9).ok());
  EXPECT_EQ(Take("w1").job_uid(), second->uid);
  EXPECT_EQ(Take("w2").job_uid(), second->uid);
  ASSERT_TRUE(client_->SetPriority(first->name, 10).ok());
  EXPECT_EQ(Take("w3").job_uid(), first->uid);
  ASSERT_TRUE(client_->Cancel(first->name).ok());
  AwaitEnd(server_->jobs(), first->name);
  EXPECT_TRUE(client_->Delete(first->name).ok());
  EXPECT_EQ(ReasonOf(client_->Get(first->name).status()), "JOB_NOT_FOUND");
}

}  // namespace
}  // namespace merganser
