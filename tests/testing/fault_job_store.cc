#include "tests/testing/fault_job_store.h"

#include <utility>

namespace merganser {
namespace {

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace

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

template <typename Result, typename Work>
Result FaultJobStore::Run(JobStoreOp op, std::optional<JobState> state, const Work& work) {
  const std::optional<JobFaultRule> fault = Next(op, state);
  if (fault.has_value() && !fault->after_work) {
    MutexLock lock(mutex_);
    ++faults_[static_cast<size_t>(op)];
    return fault->status;
  }
  Result result = work();
  if (!fault.has_value() || !StatusOf(result).ok()) return result;
  MutexLock lock(mutex_);
  ++faults_[static_cast<size_t>(op)];
  return fault->status;
}

absl::StatusOr<uint64_t> FaultJobStore::NextEpoch() {
  return Run<absl::StatusOr<uint64_t>>(JobStoreOp::kNextEpoch, std::nullopt,
                                       [&] { return wrapped_.NextEpoch(); });
}

absl::StatusOr<Duration> FaultJobStore::Served() {
  return Run<absl::StatusOr<Duration>>(JobStoreOp::kServed, std::nullopt,
                                       [&] { return wrapped_.Served(); });
}

void FaultJobStore::SetServed(Duration served) { wrapped_.SetServed(served); }

absl::StatusOr<std::vector<JobRecord>> FaultJobStore::Load() {
  return Run<absl::StatusOr<std::vector<JobRecord>>>(JobStoreOp::kLoad, std::nullopt,
                                                     [&] { return wrapped_.Load(); });
}

absl::Status FaultJobStore::Save(const JobRecord& record) {
  return Run<absl::Status>(JobStoreOp::kSave, record.info.state,
                           [&] { return wrapped_.Save(record); });
}

absl::Status FaultJobStore::Remove(const std::string& uid) {
  return Run<absl::Status>(JobStoreOp::kRemove, std::nullopt, [&] { return wrapped_.Remove(uid); });
}

absl::Status FaultJobStore::Retire(const std::string& uid) {
  return Run<absl::Status>(JobStoreOp::kRemove, std::nullopt, [&] { return wrapped_.Retire(uid); });
}

absl::StatusOr<std::vector<SpentRequest>> FaultJobStore::LoadSpent() {
  return Run<absl::StatusOr<std::vector<SpentRequest>>>(JobStoreOp::kLoad, std::nullopt,
                                                        [&] { return wrapped_.LoadSpent(); });
}

absl::Status FaultJobStore::ForgetSpent(const std::vector<std::string>& request_ids) {
  return Run<absl::Status>(JobStoreOp::kRemove, std::nullopt,
                           [&] { return wrapped_.ForgetSpent(request_ids); });
}

absl::Status FaultJobStore::AddResults(std::vector<StoredResult> results) {
  return Run<absl::Status>(JobStoreOp::kAddResults, std::nullopt,
                           [&] { return wrapped_.AddResults(std::move(results)); });
}

absl::StatusOr<std::vector<StoredResult>> FaultJobStore::DoResults(
    const std::string& uid, const std::optional<ResultPlace>& after, uint64_t bytes) {
  return Run<absl::StatusOr<std::vector<StoredResult>>>(
      JobStoreOp::kResults, std::nullopt, [&] { return wrapped_.Results(uid, after, bytes); });
}

absl::Status FaultJobStore::ForgetResults(const std::string& uid) {
  return Run<absl::Status>(JobStoreOp::kForgetResults, std::nullopt,
                           [&] { return wrapped_.ForgetResults(uid); });
}

void FaultJobStore::AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) {
  wrapped_.AddEvents(uid, events);
}

absl::StatusOr<std::vector<StoredEvent>> FaultJobStore::Events(const std::string& uid) {
  return Run<absl::StatusOr<std::vector<StoredEvent>>>(JobStoreOp::kEvents, std::nullopt,
                                                       [&] { return wrapped_.Events(uid); });
}

}  // namespace merganser
