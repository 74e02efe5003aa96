// How a job goes outlives the process that ran it.
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "coordinator/journal/journal.h"
#include "coordinator/service/job_manager.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::SizeIs;

class KeptActivityTest : public ::testing::Test {
 protected:
  void Start() {
    JournalOptions journal;
    journal.directory = dir_.File("state");
    auto opened = Journal::Open(journal, SystemClock());
    ASSERT_TRUE(opened.ok()) << opened.status();
    journal_ = *std::move(opened);
    JobManagerOptions options = QuickOptions();
    options.keep_activity = std::chrono::milliseconds(10);
    auto jobs = JobManager::Start(options, SystemClock(), *journal_, storage_.Runs());
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    jobs_ = *std::move(jobs);
  }
  // Jobs stay as they are, as after a kill.
  void Stop() {
    jobs_.reset();
    journal_.reset();
  }
  // Has `worker` do one unit.
  void DoUnit(const std::string& worker) {
    WorkerReport report;
    report.worker = worker;
    report.memory = 1000;
    report.threads = 2;
    report.wanted = 1;
    std::vector<LeaseGrant> leases;
    while (leases.empty()) {
      report.sequence = ++sequence_;
      auto answer = jobs_->Sync(report);
      ASSERT_TRUE(answer.ok()) << answer.status();
      leases = answer->leases;
    }
    UnitResult result;
    result.unit = leases[0].unit;
    result.segment_digests = {std::string(32, 'a')};
    result.bytes_read = 300;
    result.bytes_written = 100;
    result.seconds = 2;
    report.sequence = ++sequence_;
    report.wanted = 0;
    report.completed = {CompletionOf(leases[0], result)};
    ASSERT_TRUE(jobs_->Sync(report).ok());
  }

  TempDir dir_;
  FakeStorage storage_{/*units=*/3};
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<JobManager> jobs_;
  uint64_t sequence_ = 0;
};

TEST_F(KeptActivityTest, AHistoryOutlivesAKill) {
  Start();
  const auto job = jobs_->Create(ValidRequest(), "", "ann");
  ASSERT_TRUE(job.ok()) << job.status();
  DoUnit("early");
  // Until what was kept has that unit.
  JobStory before;
  std::string kept;
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    before = *jobs_->Story(job->name);
    kept = *journal_->Activity(job->uid);
  } while (before.workers.empty() || kept.find("early") == std::string::npos);
  Stop();
  EXPECT_TRUE(before.history.has_value());

  Start();
  AwaitState(*jobs_, job->name, JobState::kRunning);
  JobStory after;
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    after = *jobs_->Story(job->name);
  } while (after.workers.empty());
  ASSERT_TRUE(after.history.has_value());
  EXPECT_EQ(after.history->begin(), before.history->begin());
  ASSERT_THAT(after.workers, SizeIs(1));
  EXPECT_EQ(after.workers[0].name, "early");
  EXPECT_EQ(after.workers[0].moved.units_done, 1u);
  ASSERT_THAT(after.slowest, SizeIs(1));
  EXPECT_EQ(after.slowest[0].worker, "early");

  // The story of its end is that of both processes.
  DoUnit("late");
  DoUnit("late");
  EXPECT_EQ(AwaitEnd(*jobs_, job->name).state, JobState::kSucceeded);
  const std::string ended = *jobs_->EndedStory(job->uid);
  EXPECT_NE(ended.find("early"), std::string::npos);
  EXPECT_NE(ended.find("late"), std::string::npos);
}

}  // namespace
}  // namespace merganser
