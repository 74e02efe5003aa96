// What one job, or one user, may take from the others.
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/service/job_manager.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class FairnessTest : public ::testing::Test {
 protected:
  void Start(const JobManagerOptions& options) {
    auto jobs = JobManager::Start(options, SystemClock(), store_, storage_.Runs());
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    jobs_ = *std::move(jobs);
  }
  std::string Submit(int priority = 0) {
    JobRequest request = ValidRequest();
    request.priority = priority;
    const auto job = jobs_->Create(request, "", "someone");
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->name : "";
  }
  std::string Detail(const std::string& name) {
    const auto job = jobs_->Get(name);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->progress.detail : "";
  }
  absl::StatusOr<WorkerAnswer> Sync(uint64_t memory, uint32_t wanted) {
    WorkerReport report;
    report.worker = "w";
    report.sequence = ++sequence_;
    report.memory = memory;
    report.wanted = wanted;
    return jobs_->Sync(report);
  }

  FakeStorage storage_{/*units=*/2};
  MemoryJobStore store_{SystemClock()};
  std::unique_ptr<JobManager> jobs_;
  uint64_t sequence_ = 0;
};

TEST_F(FairnessTest, JobsThatFitNoWorkerHoldUpNoOther) {
  JobManagerOptions options = QuickOptions();
  options.active_jobs = 1;
  options.lend_after = std::chrono::milliseconds(50);
  Start(options);
  ASSERT_TRUE(Sync(/*memory=*/10, 1).ok());
  const std::string first = Submit();
  AwaitState(*jobs_, first, JobState::kRunning);
  const std::string second = Submit();
  AwaitState(*jobs_, second, JobState::kRunning);
  EXPECT_THAT(Detail(first), HasSubstr("found at most 10 B among 1 live worker"));
  const std::string third = Submit(/*priority=*/1000);
  AwaitState(*jobs_, third, JobState::kRunning);
}

TEST_F(FairnessTest, JobsThatWaitForWorkersHoldUpNoOther) {
  JobManagerOptions options = QuickOptions();
  options.active_jobs = 2;
  options.lend_after = std::chrono::milliseconds(50);
  Start(options);
  for (int i = 0; i < 5; ++i) AwaitState(*jobs_, Submit(), JobState::kRunning);
}

TEST_F(FairnessTest, AJobThatWorkersAreAtKeepsItsPlace) {
  JobManagerOptions options = QuickOptions();
  options.active_jobs = 1;
  options.lend_after = std::chrono::milliseconds(200);
  Start(options);
  const std::string first = Submit();
  AwaitState(*jobs_, first, JobState::kRunning);
  while (!HasFailure()) {
    const auto answer = Sync(/*memory=*/1000, 1);
    ASSERT_TRUE(answer.ok()) << answer.status();
    if (!answer->leases.empty()) break;
  }
  const std::string second = Submit();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_EQ(jobs_->Get(second)->state, JobState::kQueued);
  EXPECT_EQ(Detail(second), "queued: 0 jobs before it, 1 active");
}

// Two lend their places, as there are no workers. When one comes only the first goes on, and the
// other after it, before what is queued.
TEST_F(FairnessTest, JobsThatWaitedAreNotOneMoreWhenTheyGoOn) {
  JobManagerOptions options = QuickOptions();
  options.active_jobs = 1;
  options.lend_after = std::chrono::milliseconds(20);
  Start(options);
  const std::string first = Submit(), second = Submit();
  AwaitState(*jobs_, first, JobState::kRunning);
  AwaitState(*jobs_, second, JobState::kRunning);
  const std::string third = Submit();
  AwaitState(*jobs_, third, JobState::kRunning);  // both have lent theirs
  ASSERT_TRUE(jobs_->Cancel(third, Operator()).ok());
  AwaitEnd(*jobs_, third);

  std::vector<LeaseGrant> leases;
  const auto take = [&](uint32_t wanted) {
    WorkerReport report;
    report.worker = "w";
    report.sequence = ++sequence_;
    report.memory = 1000;
    report.wanted = wanted;
    for (const LeaseGrant& lease : leases) report.in_flight.push_back({lease.token, 0, 0});
    const auto answer = jobs_->Sync(report);
    ASSERT_TRUE(answer.ok()) << answer.status();
    for (const LeaseGrant& lease : answer->leases) leases.push_back(lease);
  };
  storage_.Close();
  std::string queued;
  for (int i = 0; i < 10; ++i) {
    take(10);
    if (i == 0) queued = Submit();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_EQ(leases.size(), 2u);
  for (const LeaseGrant& lease : leases) EXPECT_EQ("jobs/" + lease.job, first);
  EXPECT_EQ(Detail(queued), "queued: 0 jobs before it, 1 active, 1 that wait");

  WorkerReport done;
  done.worker = "w";
  done.sequence = ++sequence_;
  done.memory = 1000;
  for (const LeaseGrant& lease : leases) {
    UnitResult result;
    result.unit = lease.unit;
    result.segment_digests = {std::string(32, 'a')};
    done.completed.push_back(CompletionOf(lease, result));
  }
  ASSERT_TRUE(jobs_->Sync(done).ok());
  EXPECT_EQ(AwaitEnd(*jobs_, first).state, JobState::kSucceeded);
  leases.clear();
  while (leases.empty() && !HasFailure()) take(10);
  ASSERT_FALSE(leases.empty());
  EXPECT_EQ("jobs/" + leases[0].job, second);
  EXPECT_EQ(jobs_->Get(queued)->state, JobState::kQueued);
  storage_.Open();
}

TEST_F(FairnessTest, AQueuedJobSaysHowManyAreBeforeIt) {
  JobManagerOptions options = QuickOptions();
  options.active_jobs = 1;
  options.lend_after = std::chrono::hours(1);
  storage_.Close();
  Start(options);
  const std::string active = Submit();
  AwaitState(*jobs_, active, JobState::kPlanning);
  const std::string low = Submit(-1);
  const std::string first = Submit();
  const std::string second = Submit();
  const std::string high = Submit(5);
  EXPECT_EQ(Detail(active), "");
  EXPECT_EQ(Detail(high), "queued: 0 jobs before it, 1 active");
  EXPECT_EQ(Detail(first), "queued: 1 job before it, 1 active");
  EXPECT_EQ(Detail(second), "queued: 2 jobs before it, 1 active");
  EXPECT_EQ(Detail(low), "queued: 3 jobs before it, 1 active");
  const absl::StatusOr<JobPage> page = jobs_->List(0, "");
  ASSERT_TRUE(page.ok()) << page.status();
  for (const JobInfo& job : page->jobs) {
    if (job.name == active) continue;
    EXPECT_THAT(job.progress.detail, StartsWith("queued: ")) << job.name;
  }
  storage_.Open();
}

}  // namespace
}  // namespace merganser
