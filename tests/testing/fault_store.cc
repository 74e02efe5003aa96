#include "tests/testing/fault_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
FaultStore::FaultStore(std::shared_ptr<ObjectStore> wrapped, uint64_t seed)
    : ForwardingStore(std::move(wrapped)), random_(seed) {}

void FaultStore::AddRule(FaultRule rule) {
  MutexLock lock(mutex_);
  rules_.push_back({std::move(rule)});
}

void FaultStore::ClearRules() {
  MutexLock lock(mutex_);
  rules_.clear();
}

void FaultStore::Hold(StoreOp op) {
  MutexLock lock(mutex_);
  held_ = op;
}

void FaultStore::Release() {
  MutexLock lock(mutex_);
  held_.reset();
  released_.NotifyAll();
}

uint64_t FaultStore::Calls(StoreOp op) const {
  MutexLock lock(mutex_);
  return calls_[static_cast<size_t>(op)];
}

uint64_t FaultStore::Faults(StoreOp op) const {
  MutexLock lock(mutex_);
  return faults_[static_cast<size_t>(op)];
}

std::optional<FaultStore::Fault> FaultStore::Next(StoreOp op, std::string_view key) {
  MutexLock lock(mutex_);
  ++calls_[static_cast<size_t>(op)];
  while (held_ == op) released_.Wait(mutex_);
  std::optional<Fault> fault;
  for (ActiveRule& active : rules_) {
    const FaultRule& rule = active.rule;
    if (rule.op != op || key.find(rule.key_contains) == key.npos) continue;
    const uint64_t call = ++active.calls;
    if (call < rule.first || call - rule.first >= rule.times) continue;
    // 53 bits: the same draw with every standard library.
    const double draw = static_cast<double>(random_() >> 11) * 0x1p-53;
    if (draw >= rule.probability || fault) continue;
    fault = Fault{Annotate(rule.status, absl::StrCat(wrapped().Describe(key), ": ",
                                                     std::string(StoreOpName(op)))),
                  rule.after_work};
  }
  return fault;
}

absl::Status FaultStore::Around(const StoreRequest& request, Work work) {
  const std::optional<Fault> fault = Next(request.op, request.key);
  if (!fault.has_value() || fault->after_work) {
    absl::Status status = work();
    if (!fault.has_value() || !status.ok()) return status;
  }
  MutexLock lock(mutex_);
  ++faults_[static_cast<size_t>(request.op)];
  return fault->status;
}

}  // namespace merganser
