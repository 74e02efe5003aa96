// A coordinator that was killed and started again: what each job does then.
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/engine/result_record.h"
#include "coordinator/service/job_manager.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/fault_job_store.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kUnits = 4;
constexpr char kName[] = "jobs/j1";

class RecoveryTest : public ::testing::Test {
 protected:
  ~RecoveryTest() override {
    store_.Release();
    storage_.Open();
  }

  void Start() {
    jobs_.reset();
    JobManagerOptions options = QuickOptions();
    options.retry_pause = std::chrono::milliseconds(1);
    options.inputs_wait = inputs_wait_;
    auto jobs = JobManager::Start(options, SystemClock(), store_, storage_.Runs());
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    jobs_ = *std::move(jobs);
  }

  // What the store holds of a job in `state` at a kill: as if begun, unless it was not.
  JobRecord Killed(JobState state, const std::string& digest = "digest") {
    JobRecord record;
    record.sequence = 1;
    record.info.uid = "j1";
    record.info.name = kName;
    record.info.request = ValidRequest();
    record.info.state = state;
    record.info.created = WallTime(std::chrono::seconds(1'700'000'000));
    if (state != JobState::kQueued) record.info.started = *record.info.created;
    if (state == JobState::kRunning || state == JobState::kPublishing) {
      record.plan = {digest, kNumericsVersion, {{"/models/a", "another"}}};
      storage_.SetBegun();
    }
    EXPECT_TRUE(memory_.Save(record).ok());
    return record;
  }

  static UnitResult Result(uint32_t unit, uint32_t round = 0, bool analysis = false) {
    UnitResult result;
    result.unit = unit;
    result.round = round;
    result.worker = "early";
    if (analysis) {
      result.sums = {{unit, 0, {1.0 + unit, 2.0}}};
    } else {
      result.segment_digests = {std::string(32, 'a')};
    }
    return result;
  }

  void PutOnRecord(const UnitResult& result) {
    EXPECT_TRUE(memory_
                    .AddResults({{"j1", result.round, result.unit, PackResults("digest", {result}),
                                  "early", 3, "AVX2"}})
                    .ok());
  }

  WorkerReport From(const std::string& worker, uint32_t wanted) {
    WorkerReport report;
    report.worker = worker;
    report.memory = 1000;
    report.threads = 2;
    report.wanted = wanted;
    report.sequence = ++sequence_;
    return report;
  }

  WorkerAnswer Sync(const WorkerReport& report) {
    const auto answer = jobs_->Sync(report);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.value_or(WorkerAnswer());
  }

  // Works as `worker` until the job ends; what it did, as (round, unit).
  std::set<std::pair<uint32_t, uint32_t>> WorkOff(const std::string& worker = "w",
                                                  const std::string& name = kName) {
    std::set<std::pair<uint32_t, uint32_t>> did;
    WorkerReport report = From(worker, 10);
    while (!HasFailure()) {
      const auto job = jobs_->Get(name);
      EXPECT_TRUE(job.ok()) << job.status();
      if (!job.ok() || IsTerminal(job->state)) return did;
      const WorkerAnswer answer = Sync(report);
      report = From(worker, 10);
      for (const LeaseGrant& lease : answer.leases) {
        EXPECT_TRUE(did.emplace(lease.round, lease.unit).second);
        report.completed.push_back(
            {lease.token, lease.job, Result(lease.unit, lease.round, rounds_ && lease.round == 0)});
      }
    }
    return did;
  }

  // A manager over these alone, and a job of it.
  absl::StatusOr<JobInfo> BeginOver(FakeStorage& storage, JobStore& store) {
    auto jobs = JobManager::Start(QuickOptions(), SystemClock(), store, storage.Runs());
    if (!jobs.ok()) return jobs.status();
    jobs_ = *std::move(jobs);
    return jobs_->Create(ValidRequest(), "", "someone");
  }

  // Of the job's one shard, as workers are told.
  std::string UploadOf(const std::string& uid) {
    const auto active = jobs_->FindPlan(uid);
    if (active == nullptr) return "no plan";
    return active->serialized.find("upload-again") == std::string::npos ? "upload" : "upload-again";
  }

  // Waits until `worker` has `count` leases.
  std::vector<LeaseGrant> Take(const std::string& worker, size_t count) {
    std::vector<LeaseGrant> leases;
    while (leases.size() < count && !HasFailure()) {
      WorkerReport report = From(worker, static_cast<uint32_t>(count - leases.size()));
      for (const LeaseGrant& lease : leases) report.in_flight.push_back({lease.token, 0, 0});
      for (const LeaseGrant& lease : Sync(report).leases) leases.push_back(lease);
    }
    return leases;
  }

  JobInfo Get(const std::string& name = kName) {
    const auto job = jobs_->Get(name);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.value_or(JobInfo());
  }

  std::vector<std::string> Events() {
    std::vector<std::string> texts;
    for (const JobEvent& event : Get().events) texts.push_back(event.text);
    return texts;
  }

  FakeStorage storage_{kUnits};
  MemoryJobStore memory_{SystemClock()};
  FaultJobStore store_{memory_, /*seed=*/17};
  std::unique_ptr<JobManager> jobs_;
  uint64_t sequence_ = 0;
  Duration inputs_wait_ = std::chrono::minutes(10);
  bool rounds_ = false;
};

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

TEST_F(RecoveryTest, WithAllUnitsOnRecordItIsPublished) {
  Killed(JobState::kRunning);
  for (uint32_t unit = 0; unit < kUnits; ++unit) PutOnRecord(Result(unit));
  Start();
  EXPECT_EQ(AwaitEnd(*jobs_, kName).state, JobState::kSucceeded);
  EXPECT_EQ(storage_.published(), 1);
}

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
            {lease.token, lease.job, Result(lease.unit, lease.round, rounds && lease.round == 0)});
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
          report.completed.push_back({lease.token, lease.job,
                                      Result(lease.unit, lease.round, rounds && lease.round == 0)});
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
  report.completed.push_back({lease.token, lease.job, Result(lease.unit)});
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
  report.completed.push_back({old.token, old.job, Result(old.unit)});
  EXPECT_THAT(Sync(report).acknowledged, ElementsAre(old.token));
  EXPECT_EQ(Get(job->name).progress.units_done, 0u);
  EXPECT_THAT(*memory_.Results(job->uid), IsEmpty());
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
