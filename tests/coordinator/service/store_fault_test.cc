// Nothing is acted on that the store does not hold: a full disk delays jobs, and is told.
#include <algorithm>
#include <memory>
#include <ostream>
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
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StoreFaultTest : public ::testing::Test {
 protected:
  ~StoreFaultTest() override {
    store_.Release();
    store_.ClearRules();
    storage_.Open();
  }

  void Start() {
    jobs_.reset();
    JobManagerOptions options = QuickOptions();
    options.retry_pause = std::chrono::milliseconds(1);
    options.log = [this](const LogLine& line) {
      MutexLock lock(log_mutex_);
      log_.push_back(LogText(line));
    };
    auto jobs = JobManager::Start(options, SystemClock(), store_, storage_.Runs());
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    jobs_ = *std::move(jobs);
  }
  std::string Submit() {
    const auto job = jobs_->Create(ValidRequest(), "", "someone");
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->name : "";
  }
  void FailSaves(JobState state, bool after_work = false) {
    store_.AddRule({.op = JobStoreOp::kSave,
                    .state = state,
                    .times = kEveryJobStoreCall,
                    .after_work = after_work});
  }
  // Waits until the job says that it waits for the journal.
  JobInfo AwaitDetail(const std::string& name, const std::string& text) {
    while (!HasFailure()) {
      const auto job = jobs_->Get(name);
      EXPECT_TRUE(job.ok()) << job.status();
      EXPECT_FALSE(IsTerminal(job->state)) << job->error;
      if (job->progress.detail.find(text) != std::string::npos) return *job;
      std::this_thread::yield();
    }
    return {};
  }
  std::vector<std::string> log() {
    MutexLock lock(log_mutex_);
    return log_;
  }
  WorkerReport From(uint32_t wanted) {
    WorkerReport report;
    report.worker = "w";
    report.memory = 1000;
    report.wanted = wanted;
    report.sequence = ++sequence_;
    return report;
  }
  static UnitResult Result(uint32_t unit) {
    UnitResult result;
    result.unit = unit;
    result.segment_digests = {std::string(32, 'a')};
    return result;
  }
  WorkerAnswer Sync(const WorkerReport& report) {
    const auto answer = jobs_->Sync(report);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.value_or(WorkerAnswer());
  }
  std::vector<LeaseGrant> TakeBoth() {
    std::vector<LeaseGrant> leases;
    while (leases.size() < 2 && !HasFailure()) {
      WorkerReport report = From(2);
      for (const LeaseGrant& lease : leases) report.in_flight.push_back({lease.token, 0, 0});
      for (const LeaseGrant& lease : Sync(report).leases) leases.push_back(lease);
    }
    return leases;
  }
  WorkerReport Done(const std::vector<LeaseGrant>& leases) {
    WorkerReport report = From(0);
    for (const LeaseGrant& lease : leases) {
      report.completed.push_back(CompletionOf(lease, Result(lease.unit)));
    }
    return report;
  }
  void WorkOff() { Sync(Done(TakeBoth())); }

  FakeStorage storage_{/*units=*/2};
  MemoryJobStore memory_{SystemClock()};
  FaultJobStore store_{memory_, /*seed=*/29};
  Mutex log_mutex_;
  std::vector<std::string> log_ MERGANSER_GUARDED_BY(log_mutex_);
  std::unique_ptr<JobManager> jobs_;
  uint64_t sequence_ = 0;
};

TEST_F(StoreFaultTest, ASubmissionThatIsNotOnRecordIsRefused) {
  for (const bool after_work : {false, true}) {
    store_.ClearRules();
    FailSaves(JobState::kQueued, after_work);
    Start();
    const auto job = jobs_->Create(ValidRequest(), "id", "someone");
    EXPECT_TRUE(absl::IsUnavailable(job.status())) << job.status();
    EXPECT_EQ(ReasonOf(job.status()), "NOT_RECORDED");
    EXPECT_THAT(std::string(job.status().message()), HasSubstr("the disk is full"));
    EXPECT_THAT(jobs_->List(0, "")->jobs, IsEmpty());
    EXPECT_THAT(*memory_.Load(), IsEmpty());
  }
  store_.ClearRules();
  EXPECT_TRUE(jobs_->Create(ValidRequest(), "id", "someone").ok());
}

TEST_F(StoreFaultTest, ARefusedSubmissionThatStayedIsReplacedByItsRepetition) {
  FailSaves(JobState::kQueued, /*after_work=*/true);
  store_.AddRule({.op = JobStoreOp::kRemove, .times = kEveryJobStoreCall});
  Start();
  EXPECT_FALSE(jobs_->Create(ValidRequest(), "id", "someone").ok());
  EXPECT_THAT(*memory_.Load(), SizeIs(1));
  store_.ClearRules();
  const auto job = jobs_->Create(ValidRequest(), "id", "someone");
  ASSERT_TRUE(job.ok());
  ASSERT_THAT(*memory_.Load(), SizeIs(1));
  EXPECT_EQ(memory_.Load()->at(0).info.name, job->name);
}

struct Transition {
  const char* name;
  JobState to;
  JobState shown;  // while it cannot be recorded
};
void PrintTo(const Transition& c, std::ostream* out) { *out << c.name; }

class StuckTransition : public StoreFaultTest, public ::testing::WithParamInterface<Transition> {};

TEST_P(StuckTransition, WaitsAndIsTold) {
  for (const bool after_work : {false, true}) {
    store_.ClearRules();
    FailSaves(GetParam().to, after_work);
    Start();
    const int begun = storage_.begun();
    const int published = storage_.published();
    const std::string name = Submit();
    if (GetParam().to == JobState::kPublishing || GetParam().to == JobState::kSucceeded) WorkOff();
    const JobInfo stuck = AwaitDetail(name, "cannot be recorded: injected: the disk is full");
    EXPECT_EQ(stuck.state, GetParam().shown);
    EXPECT_EQ(storage_.begun() - begun, GetParam().to == JobState::kPlanning ? 0 : 1);
    EXPECT_EQ(storage_.published() - published, GetParam().to == JobState::kSucceeded ? 1 : 0);
    // No unit is given out before the plan is on record.
    if (GetParam().to == JobState::kRunning) {
      EXPECT_THAT(Sync(From(2)).leases, IsEmpty());
    }
    EXPECT_THAT(log(),
                Contains(HasSubstr(absl::StrCat("warn  job=", name, " cannot be recorded as ",
                                                std::string(JobStateName(GetParam().to))))));
    store_.ClearRules();
    if (GetParam().to == JobState::kPlanning || GetParam().to == JobState::kRunning) WorkOff();
    EXPECT_EQ(AwaitEnd(*jobs_, name).state, JobState::kSucceeded);
    EXPECT_EQ(storage_.published() - published, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, StuckTransition,
    ::testing::Values(Transition{"Planning", JobState::kPlanning, JobState::kQueued},
                      Transition{"Running", JobState::kRunning, JobState::kPlanning},
                      Transition{"Publishing", JobState::kPublishing, JobState::kRunning},
                      Transition{"Succeeded", JobState::kSucceeded, JobState::kPublishing}),
    [](const auto& c) { return std::string(c.param.name); });

TEST_F(StoreFaultTest, AUnitCountsWhenItIsOnRecord) {
  for (const bool after_work : {false, true}) {
    store_.ClearRules();
    store_.AddRule(
        {.op = JobStoreOp::kAddResults, .times = kEveryJobStoreCall, .after_work = after_work});
    Start();
    const std::string name = Submit();
    const std::vector<LeaseGrant> leases = TakeBoth();
    const WorkerAnswer answer = Sync(Done(leases));
    // The worker keeps both results, and its leases.
    EXPECT_THAT(answer.acknowledged, IsEmpty());
    EXPECT_THAT(answer.revoked, IsEmpty());
    const JobInfo waiting = AwaitDetail(name, "results cannot be recorded: injected");
    EXPECT_EQ(waiting.progress.units_done, 0u);
    EXPECT_EQ(waiting.progress.units_leased, 2u);
    EXPECT_EQ(waiting.progress.retries, 0u);
    store_.ClearRules();
    EXPECT_THAT(Sync(Done(leases)).acknowledged, SizeIs(2));
    EXPECT_EQ(AwaitEnd(*jobs_, name).state, JobState::kSucceeded);
  }
  EXPECT_THAT(log(), Contains("info  results are recorded again"));
}

TEST_F(StoreFaultTest, NoWorkIsGivenOutWhileResultsCannotBeRecorded) {
  Start();
  Submit();
  std::vector<LeaseGrant> leases = TakeBoth();
  const LeaseGrant second = leases.back();
  leases.pop_back();
  Submit();
  store_.AddRule({.op = JobStoreOp::kAddResults});
  WorkerReport report = Done(leases);
  report.in_flight.push_back({second.token, 1, 1});
  report.wanted = 2;
  EXPECT_THAT(Sync(report).leases, IsEmpty());
}

TEST_F(StoreFaultTest, ACancellationThatIsNotOnRecordIsRefused) {
  Start();
  const std::string name = Submit();
  AwaitState(*jobs_, name, JobState::kRunning);
  FailSaves(JobState::kRunning);
  const auto cancelled = jobs_->Cancel(name, Operator());
  EXPECT_EQ(ReasonOf(cancelled.status()), "NOT_RECORDED") << cancelled.status();
  EXPECT_FALSE(jobs_->Get(name)->cancelling);
  EXPECT_EQ(storage_.abandoned(), 0);
  store_.ClearRules();
  EXPECT_TRUE(jobs_->Cancel(name, Operator()).ok());
  EXPECT_EQ(AwaitEnd(*jobs_, name).state, JobState::kCancelled);
}

TEST_F(StoreFaultTest, PartialOutputStaysUntilTheFailureIsOnRecord) {
  Start();
  const std::string name = Submit();
  const std::vector<LeaseGrant> leases = TakeBoth();
  FailSaves(JobState::kRunning);
  WorkerReport report = From(0);
  report.failed.push_back(
      {leases[0].token, leases[0].job, leases[0].unit, absl::InvalidArgumentError("found NaN")});
  Sync(report);
  const JobInfo stuck = AwaitDetail(name, "cannot be recorded");
  EXPECT_EQ(stuck.state, JobState::kRunning);
  EXPECT_TRUE(stuck.error.ok());  // told when it is so
  EXPECT_EQ(storage_.abandoned(), 0);
  store_.ClearRules();
  const JobInfo job = AwaitEnd(*jobs_, name);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(std::string(job.error.message()), HasSubstr("found NaN"));
  EXPECT_EQ(storage_.abandoned(), 1);
}

TEST_F(StoreFaultTest, AnEpochThatIsNotOnRecordStopsTheStart) {
  for (const JobStoreOp op : {JobStoreOp::kNextEpoch, JobStoreOp::kLoad, JobStoreOp::kEvents}) {
    store_.ClearRules();
    JobRecord record;
    record.sequence = 1;
    record.info.uid = "j";
    record.info.state = JobState::kFailed;
    ASSERT_TRUE(memory_.Save(record).ok());
    store_.AddRule({.op = op, .after_work = true});
    const auto jobs = JobManager::Start(QuickOptions(), SystemClock(), store_, storage_.Runs());
    EXPECT_TRUE(absl::IsResourceExhausted(jobs.status())) << static_cast<int>(op);
  }
}

// A disk that hangs holds up what must be recorded and nothing else.
TEST_F(StoreFaultTest, TheStoreIsNeverWaitedForUnderTheLock) {
  for (const JobStoreOp op : {JobStoreOp::kAddResults, JobStoreOp::kSave}) {
    Start();
    const std::string name = Submit();
    const std::vector<LeaseGrant> leases = TakeBoth();
    store_.Hold(op);
    std::thread held([&] {
      if (op == JobStoreOp::kAddResults) {
        Sync(Done(leases));
      } else {
        EXPECT_TRUE(jobs_->Cancel(name, Operator()).ok());
      }
    });
    store_.AwaitHeld();
    EXPECT_EQ(jobs_->Get(name)->state, JobState::kRunning);
    EXPECT_EQ(jobs_->Get(name)->progress.units_done, 0u);
    EXPECT_NE(jobs_->FindPlan(leases[0].job), nullptr);
    WorkerReport other = From(0);
    other.worker = "other";
    Sync(other);
    store_.Release();
    held.join();
    EXPECT_EQ(AwaitEnd(*jobs_, name).state,
              op == JobStoreOp::kAddResults ? JobState::kSucceeded : JobState::kCancelled);
  }
}

// Whatever fails, now and then, before or after it was done: the job comes to its end,
// is published once, and what the store holds is what was told.
TEST_F(StoreFaultTest, FaultsAtRandomDelayAndNothingElse) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    FakeStorage storage(/*units=*/5);
    MemoryJobStore memory(SystemClock());
    FaultJobStore store(memory, seed);
    for (const JobStoreOp op : {JobStoreOp::kSave, JobStoreOp::kAddResults, JobStoreOp::kRemove}) {
      for (const bool after_work : {false, true}) {
        store.AddRule(
            {.op = op, .times = kEveryJobStoreCall, .probability = 0.3, .after_work = after_work});
      }
    }
    JobManagerOptions options = QuickOptions();
    options.retry_pause = std::chrono::microseconds(100);
    auto started = JobManager::Start(options, SystemClock(), store, storage.Runs());
    ASSERT_TRUE(started.ok());
    JobManager& jobs = **started;
    absl::StatusOr<JobInfo> job = jobs.Create(ValidRequest(), "id", "someone");
    while (!job.ok()) job = jobs.Create(ValidRequest(), "id", "someone");
    std::vector<WorkerReport::Completed> done;
    while (!HasFailure() && !IsTerminal(jobs.Get(job->name)->state)) {
      WorkerReport report = From(2);
      report.completed = done;
      const auto answer = jobs.Sync(report);
      ASSERT_TRUE(answer.ok()) << answer.status();
      std::erase_if(done, [&](const WorkerReport::Completed& one) {
        return std::find(answer->acknowledged.begin(), answer->acknowledged.end(), one.token) !=
               answer->acknowledged.end();
      });
      for (const LeaseGrant& lease : answer->leases) {
        done.push_back(CompletionOf(lease, Result(lease.unit)));
      }
    }
    EXPECT_EQ(jobs.Get(job->name)->state, JobState::kSucceeded);
    EXPECT_EQ(jobs.Get(job->name)->progress.retries, 0u);
    EXPECT_EQ(storage.published(), 1);
    EXPECT_EQ(storage.abandoned(), 0);
    const auto records = memory.Load();
    ASSERT_THAT(*records, SizeIs(1));
    EXPECT_EQ(records->at(0).info.name, job->name);
    EXPECT_EQ(records->at(0).info.state, JobState::kSucceeded);
  }
}

}  // namespace
}  // namespace merganser
