// A coordinator that was killed and started again, and workers that speak to it by hand.
#ifndef MERGANSER_TESTS_COORDINATOR_SERVICE_RECOVERY_FIXTURE_H_
#define MERGANSER_TESTS_COORDINATOR_SERVICE_RECOVERY_FIXTURE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/engine/result_record.h"
#include "coordinator/service/job_manager.h"
#include "gtest/gtest.h"
#include "tests/coordinator/service/fake_storage.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/fault_job_store.h"

namespace merganser {

class RecoveryTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kUnits = 4;
  static constexpr char kName[] = "jobs/j1";

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
            CompletionOf(lease, Result(lease.unit, lease.round, rounds_ && lease.round == 0)));
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

}  // namespace merganser

#endif  // MERGANSER_TESTS_COORDINATOR_SERVICE_RECOVERY_FIXTURE_H_
