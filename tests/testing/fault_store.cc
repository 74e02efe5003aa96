#include "tests/testing/fault_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace

FaultStore::FaultStore(std::shared_ptr<ObjectStore> wrapped, uint64_t seed)
    : wrapped_(std::move(wrapped)), random_(seed) {}

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
    fault = Fault{Annotate(rule.status, absl::StrCat(wrapped_->Describe(key), ": ",
                                                     std::string(StoreOpName(op)))),
                  rule.after_work};
  }
  return fault;
}

template <typename Result, typename Work>
Result FaultStore::Run(StoreOp op, std::string_view key, const Work& work) {
  const std::optional<Fault> fault = Next(op, key);
  if (fault && !fault->after_work) {
    MutexLock lock(mutex_);
    ++faults_[static_cast<size_t>(op)];
    return fault->status;
  }
  Result result = work();
  if (!fault || !StatusOf(result).ok()) return result;
  MutexLock lock(mutex_);
  ++faults_[static_cast<size_t>(op)];
  return fault->status;
}

std::string FaultStore::Describe(std::string_view key) const { return wrapped_->Describe(key); }

absl::StatusOr<std::optional<ObjectInfo>> FaultStore::Stat(std::string_view key) {
  return Run<absl::StatusOr<std::optional<ObjectInfo>>>(StoreOp::kStat, key,
                                                        [&] { return wrapped_->Stat(key); });
}

absl::Status FaultStore::Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                              std::string_view if_match) {
  return Run<absl::Status>(StoreOp::kRead, key,
                           [&] { return wrapped_->Read(key, offset, out, if_match); });
}

absl::StatusOr<std::vector<ListedObject>> FaultStore::List(std::string_view prefix) {
  return Run<absl::StatusOr<std::vector<ListedObject>>>(StoreOp::kList, prefix,
                                                        [&] { return wrapped_->List(prefix); });
}

absl::StatusOr<std::vector<ListedObject>> FaultStore::ListFolder(std::string_view folder,
                                                                 size_t limit) {
  return Run<absl::StatusOr<std::vector<ListedObject>>>(
      StoreOp::kListFolder, folder, [&] { return wrapped_->ListFolder(folder, limit); });
}

absl::Status FaultStore::Put(std::string_view key, std::string_view bytes) {
  return Run<absl::Status>(StoreOp::kPut, key, [&] { return wrapped_->Put(key, bytes); });
}

absl::StatusOr<bool> FaultStore::PutIfAbsent(std::string_view key, std::string_view bytes) {
  return Run<absl::StatusOr<bool>>(StoreOp::kPutIfAbsent, key,
                                   [&] { return wrapped_->PutIfAbsent(key, bytes); });
}

absl::Status FaultStore::Delete(std::string_view key, std::string_view if_match) {
  return Run<absl::Status>(StoreOp::kDelete, key, [&] { return wrapped_->Delete(key, if_match); });
}

absl::StatusOr<PlannedWrite> FaultStore::BeginWrite(std::string_view key, uint64_t size,
                                                    std::string_view writer) {
  return Run<absl::StatusOr<PlannedWrite>>(StoreOp::kBeginWrite, key,
                                           [&] { return wrapped_->BeginWrite(key, size, writer); });
}

absl::StatusOr<WriteReceipt> FaultStore::WriteRange(const PlannedWrite& write, uint64_t offset,
                                                    std::span<const std::byte> bytes) {
  return Run<absl::StatusOr<WriteReceipt>>(
      StoreOp::kWriteRange, write.key, [&] { return wrapped_->WriteRange(write, offset, bytes); });
}

absl::Status FaultStore::FlushWrite(const PlannedWrite& write) {
  return Run<absl::Status>(StoreOp::kFlushWrite, write.key,
                           [&] { return wrapped_->FlushWrite(write); });
}

absl::Status FaultStore::CommitWrite(const PlannedWrite& write,
                                     std::span<const WriteReceipt> receipts) {
  return Run<absl::Status>(StoreOp::kCommitWrite, write.key,
                           [&] { return wrapped_->CommitWrite(write, receipts); });
}

absl::Status FaultStore::AbortWrite(const PlannedWrite& write) {
  return Run<absl::Status>(StoreOp::kAbortWrite, write.key,
                           [&] { return wrapped_->AbortWrite(write); });
}

}  // namespace merganser
