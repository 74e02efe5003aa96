#include "tests/testing/recording_store.h"

#include <utility>

namespace merganser {

RecordingStore::RecordingStore(std::shared_ptr<ObjectStore> wrapped)
    : ForwardingStore(std::move(wrapped)) {}

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

absl::Status RecordingStore::Around(const StoreRequest& request, Work work) {
  absl::Status status = work();
  MutexLock lock(mutex_);
  calls_.push_back({request.op, std::string(request.key), request.offset, request.size,
                    request.flat, status.ok()});
  return status;
}

}  // namespace merganser
