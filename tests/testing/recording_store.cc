#include "tests/testing/recording_store.h"

#include <utility>

namespace merganser {

RecordingStore::RecordingStore(std::shared_ptr<ObjectStore> wrapped)
    : wrapped_(std::move(wrapped)) {}

std::vector<StoreCall> RecordingStore::Calls() const {
  MutexLock lock(mutex_);
  return calls_;
}

std::vector<StoreCall> RecordingStore::Calls(StoreOp op) const {
  std::vector<StoreCall> calls;
  for (StoreCall& call : Calls()) {
    if (call.op == op) calls.push_back(std::move(call));
  }
  return calls;
}

uint64_t RecordingStore::BytesRead(std::string_view key) const {
  uint64_t bytes = 0;
  for (const StoreCall& call : Calls()) {
    if (call.ok && call.op == StoreOp::kRead && (key.empty() || call.key == key)) {
      bytes += call.size;
    }
  }
  return bytes;
}

uint64_t RecordingStore::BytesWritten(std::string_view key) const {
  uint64_t bytes = 0;
  for (const StoreCall& call : Calls()) {
    const bool writes = call.op == StoreOp::kWriteRange || call.op == StoreOp::kPut ||
                        call.op == StoreOp::kPutIfAbsent;
    if (call.ok && writes && (key.empty() || call.key == key)) bytes += call.size;
  }
  return bytes;
}

void RecordingStore::Clear() {
  MutexLock lock(mutex_);
  calls_.clear();
}

template <typename Result>
Result RecordingStore::Record(StoreOp op, std::string_view key, uint64_t offset, uint64_t size,
                              Result result) {
  MutexLock lock(mutex_);
  calls_.push_back({op, std::string(key), offset, size, result.ok()});
  return result;
}

std::string RecordingStore::Describe(std::string_view key) const { return wrapped_->Describe(key); }

absl::StatusOr<std::optional<ObjectInfo>> RecordingStore::Stat(std::string_view key) {
  return Record(StoreOp::kStat, key, 0, 0, wrapped_->Stat(key));
}

absl::Status RecordingStore::Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                                  std::string_view if_match) {
  return Record(StoreOp::kRead, key, offset, out.size(),
                wrapped_->Read(key, offset, out, if_match));
}

absl::StatusOr<std::vector<ListedObject>> RecordingStore::List(std::string_view prefix) {
  return Record(StoreOp::kList, prefix, 0, 0, wrapped_->List(prefix));
}

absl::StatusOr<std::vector<ListedObject>> RecordingStore::ListFolder(std::string_view folder,
                                                                     size_t limit) {
  return Record(StoreOp::kListFolder, folder, 0, 0, wrapped_->ListFolder(folder, limit));
}

absl::Status RecordingStore::Put(std::string_view key, std::string_view bytes) {
  return Record(StoreOp::kPut, key, 0, bytes.size(), wrapped_->Put(key, bytes));
}

absl::StatusOr<bool> RecordingStore::PutIfAbsent(std::string_view key, std::string_view bytes) {
  return Record(StoreOp::kPutIfAbsent, key, 0, bytes.size(), wrapped_->PutIfAbsent(key, bytes));
}

absl::Status RecordingStore::Delete(std::string_view key, std::string_view if_match) {
  return Record(StoreOp::kDelete, key, 0, 0, wrapped_->Delete(key, if_match));
}

absl::StatusOr<PlannedWrite> RecordingStore::BeginWrite(std::string_view key, uint64_t size,
                                                        std::string_view writer) {
  return Record(StoreOp::kBeginWrite, key, 0, size, wrapped_->BeginWrite(key, size, writer));
}

absl::StatusOr<WriteReceipt> RecordingStore::WriteRange(const PlannedWrite& write, uint64_t offset,
                                                        std::span<const std::byte> bytes) {
  return Record(StoreOp::kWriteRange, write.key, offset, bytes.size(),
                wrapped_->WriteRange(write, offset, bytes));
}

absl::Status RecordingStore::FlushWrite(const PlannedWrite& write) {
  return Record(StoreOp::kFlushWrite, write.key, 0, 0, wrapped_->FlushWrite(write));
}

absl::Status RecordingStore::CommitWrite(const PlannedWrite& write,
                                         std::span<const WriteReceipt> receipts) {
  return Record(StoreOp::kCommitWrite, write.key, 0, 0, wrapped_->CommitWrite(write, receipts));
}

absl::Status RecordingStore::AbortWrite(const PlannedWrite& write) {
  return Record(StoreOp::kAbortWrite, write.key, 0, 0, wrapped_->AbortWrite(write));
}

}  // namespace merganser
