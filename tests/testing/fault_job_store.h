// A job store that fails, waits, or does its work and reports a failure, on command.
#ifndef MERGANSER_TESTS_TESTING_FAULT_JOB_STORE_H_
#define MERGANSER_TESTS_TESTING_FAULT_JOB_STORE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "coordinator/service/forwarding_job_store.h"

namespace merganser {

inline constexpr uint64_t kEveryJobStoreCall = UINT64_MAX;

// Which calls fail, and how.
struct JobFaultRule {
  JobStoreOp op = JobStoreOp::kSave;
  // Of kSave: of records in this state alone.
  std::optional<JobState> state = std::nullopt;
  // Fails the calls first, first + 1, ... counted from 1, `times` of them, each with
  // `probability`, drawn from the store's seed.
  uint64_t first = 1;
  uint64_t times = 1;
  double probability = 1;
  // True: the wrapped store does the work, and its success is reported as failure.
  bool after_work = false;
  absl::Status status = absl::ResourceExhaustedError("injected: the disk is full");
};

// Wraps a store, and claims to be durable, as a journal does. Thread-safe.
class FaultJobStore final : public ForwardingJobStore {
 public:
  FaultJobStore(JobStore& wrapped, uint64_t seed) : ForwardingJobStore(wrapped), random_(seed) {}

  void AddRule(JobFaultRule rule);
  void ClearRules();
  // Calls of `op` wait before they do anything, until Release.
  void Hold(JobStoreOp op);
  void Release();
  void AwaitHeld();  // returns when a call waits
  uint64_t Calls(JobStoreOp op) const;
  uint64_t Faults(JobStoreOp op) const;  // failures that were injected

  bool durable() const override { return true; }

 private:
  absl::Status Around(JobStoreOp op, std::optional<JobState> state, Work work) override;

  struct ActiveRule {
    JobFaultRule rule;
    uint64_t calls = 0;
  };
  std::optional<JobFaultRule> Next(JobStoreOp op, std::optional<JobState> state);

  mutable Mutex mutex_;
  CondVar changed_;
  std::mt19937_64 random_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<ActiveRule> rules_ MERGANSER_GUARDED_BY(mutex_);
  std::optional<JobStoreOp> held_ MERGANSER_GUARDED_BY(mutex_);
  int waiting_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::array<uint64_t, kJobStoreOps> calls_ MERGANSER_GUARDED_BY(mutex_){};
  std::array<uint64_t, kJobStoreOps> faults_ MERGANSER_GUARDED_BY(mutex_){};
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_FAULT_JOB_STORE_H_
