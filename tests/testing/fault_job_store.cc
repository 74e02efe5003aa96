#include "tests/testing/fault_job_store.h"

#include <utility>

namespace merganser {
void FaultJobStore::AddRule(JobFaultRule rule) {
  MutexLock lock(mutex_);
  rules_.push_back({std::move(rule)});
}

void FaultJobStore::ClearRules() {
  MutexLock lock(mutex_);
  rules_.clear();
}

void FaultJobStore::Hold(JobStoreOp op) {
  MutexLock lock(mutex_);
  held_ = op;
}

void FaultJobStore::Release() {
  MutexLock lock(mutex_);
  held_.reset();
  changed_.NotifyAll();
}

void FaultJobStore::AwaitHeld() {
  MutexLock lock(mutex_);
  while (waiting_ == 0) changed_.Wait(mutex_);
}

uint64_t FaultJobStore::Calls(JobStoreOp op) const {
  MutexLock lock(mutex_);
  return calls_[static_cast<size_t>(op)];
}

uint64_t FaultJobStore::Faults(JobStoreOp op) const {
  MutexLock lock(mutex_);
  return faults_[static_cast<size_t>(op)];
}

std::optional<JobFaultRule> FaultJobStore::Next(JobStoreOp op, std::optional<JobState> state) {
  MutexLock lock(mutex_);
  ++calls_[static_cast<size_t>(op)];
  ++waiting_;
  changed_.NotifyAll();
  while (held_ == op) changed_.Wait(mutex_);
  --waiting_;
  for (ActiveRule& active : rules_) {
    const JobFaultRule& rule = active.rule;
    if (rule.op != op || (rule.state.has_value() && rule.state != state)) continue;
    const uint64_t call = ++active.calls;
    if (call < rule.first || call - rule.first >= rule.times) continue;
    // 53 bits: the same draw with every standard library.
    const double draw = static_cast<double>(random_() >> 11) * 0x1p-53;
    if (draw < rule.probability) return rule;
  }
  return std::nullopt;
}

absl::Status FaultJobStore::Around(JobStoreOp op, std::optional<JobState> state, Work work) {
  const std::optional<JobFaultRule> fault = Next(op, state);
  absl::Status status = fault.has_value() && !fault->after_work ? absl::OkStatus() : work();
  if (!fault.has_value() || !status.ok()) return status;
  MutexLock lock(mutex_);
  ++faults_[static_cast<size_t>(op)];
  return fault->status;
}

}  // namespace merganser
