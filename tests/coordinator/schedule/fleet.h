// A schedule with a clock that tests move, tokens that can be read, and workers
// that are one line each.
#ifndef MERGANSER_TESTS_COORDINATOR_SCHEDULE_FLEET_H_
#define MERGANSER_TESTS_COORDINATOR_SCHEDULE_FLEET_H_

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/schedule/schedule.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Round numbers, so that the tests read well. No pause detection: tests of it
// set it.
inline ScheduleOptions TestOptions() {
  ScheduleOptions options;
  options.lease_ttl = seconds(100);
  options.stall_limit = seconds(1000);
  options.worker_timeout = seconds(30);
  options.too_large_limit = seconds(300);
  options.heartbeat = seconds(2);
  options.idle_heartbeat = milliseconds(500);
  options.pause_gap = std::chrono::hours(1000);
  options.retry_delay = Duration::zero();
  options.max_retry_delay = Duration::zero();
  return options;
}

class Fleet {
 public:
  explicit Fleet(const ScheduleOptions& options = TestOptions())
      : schedule(options, /*epoch=*/7, [this] { return absl::StrCat("t", ++tokens_); }) {}

  MonotonicTime now() const { return now_; }
  void Pass(Duration duration) { now_ += duration; }
  // Time passes and is noticed, in steps in which the workers named call.
  void PassWithHeartbeats(Duration duration, std::vector<WorkerReport> reports) {
    for (Duration step{}; step < duration; step += seconds(10)) {
      Pass(seconds(10));
      for (WorkerReport& report : reports) Send(report);
      schedule.Tick(now_);
    }
  }
  void Tick() { schedule.Tick(now_); }

  void AddJob(const std::string& job, size_t units, uint64_t memory = 10, uint64_t bytes = 100) {
    ASSERT_TRUE(
        schedule.AddJob(job, ++order_, std::vector<UnitDemand>(units, {memory, bytes}), now_).ok());
  }

  static WorkerReport From(const std::string& worker, uint32_t wanted = 0) {
    WorkerReport report;
    report.worker = worker;
    report.threads = 4;
    report.memory = 1000;
    report.simd = "AVX2";
    report.wanted = wanted;
    return report;
  }

  // Sends the report with the next sequence number.
  WorkerAnswer Send(WorkerReport report) {
    report.sequence = ++sequences_[report.worker];
    const auto answer = schedule.Sync(std::move(report), now_);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : WorkerAnswer();
  }

  // Asks for one unit and expects to get it. `held` are the leases held already.
  LeaseGrant Take(const std::string& worker, const std::vector<std::string>& held = {}) {
    WorkerReport report = From(worker, 1);
    for (const std::string& token : held) report.in_flight.push_back({token, 0, 0});
    const WorkerAnswer answer = Send(report);
    EXPECT_EQ(answer.leases.size(), 1u) << worker << " got nothing";
    return answer.leases.empty() ? LeaseGrant() : answer.leases.front();
  }

  static UnitResult Result(uint32_t unit, const std::string& digest = "same") {
    UnitResult result;
    result.unit = unit;
    result.segment_digests = {digest};
    return result;
  }

  WorkerAnswer Complete(const std::string& worker, const LeaseGrant& lease,
                        const std::string& digest = "same", uint32_t wanted = 0) {
    WorkerReport report = From(worker, wanted);
    report.completed.push_back({lease.token, lease.job, Result(lease.unit, digest)});
    return Send(report);
  }

  WorkerAnswer Fail(const std::string& worker, const LeaseGrant& lease, absl::Status status) {
    WorkerReport report = From(worker);
    report.failed.push_back({lease.token, lease.job, lease.unit, std::move(status)});
    return Send(report);
  }

  WorkerAnswer Report(const std::string& worker, const LeaseGrant& lease, uint64_t bytes,
                      uint64_t work) {
    WorkerReport report = From(worker);
    report.in_flight.push_back({lease.token, bytes, work});
    return Send(report);
  }

  ScheduleStatus Status(const std::string& job) {
    const auto status = schedule.Status(job);
    EXPECT_TRUE(status.has_value()) << job;
    return status.value_or(ScheduleStatus());
  }

  // OK while it runs or when it ended well.
  absl::Status Error(const std::string& job) {
    return Status(job).outcome.value_or(absl::OkStatus());
  }
  bool Ended(const std::string& job) { return Status(job).outcome.has_value(); }

 private:
  MonotonicTime now_{std::chrono::hours(5)};
  int tokens_ = 0;
  uint64_t order_ = 0;
  std::map<std::string, uint64_t> sequences_;

 public:
  Schedule schedule;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COORDINATOR_SCHEDULE_FLEET_H_
