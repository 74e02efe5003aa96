// Storage that remembers what was asked of it.
#ifndef MERGANSER_TESTS_TESTING_RECORDING_STORE_H_
#define MERGANSER_TESTS_TESTING_RECORDING_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/storage/object_store.h"
#include "tests/testing/store_op.h"

namespace merganser {

// One call. `offset` and `size` are those of Read and WriteRange; for Put and
// PutIfAbsent `size` is that of the object, for BeginWrite the planned one.
struct StoreCall {
  StoreOp op;
  std::string key;  // the prefix of List, the folder of ListFolder
  uint64_t offset = 0;
  uint64_t size = 0;
  bool ok = false;
};

// Wraps a store. Thread-safe; calls stand in the order in which they returned.
class RecordingStore final : public ObjectStore {
 public:
  explicit RecordingStore(std::shared_ptr<ObjectStore> wrapped);

  std::vector<StoreCall> Calls() const;
  std::vector<StoreCall> Calls(StoreOp op) const;
  // Of calls that succeeded; an empty key means all keys. Written are the bytes
  // of WriteRange, Put and PutIfAbsent (also one that found an object there).
  uint64_t BytesRead(std::string_view key = {}) const;
  uint64_t BytesWritten(std::string_view key = {}) const;
  void Clear();

  std::string Describe(std::string_view key) const override;
  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override;
  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match) override;
  absl::StatusOr<std::vector<ListedObject>> List(std::string_view prefix) override;
  absl::StatusOr<std::vector<ListedObject>> ListFolder(std::string_view folder,
                                                       size_t limit) override;
  absl::Status Put(std::string_view key, std::string_view bytes) override;
  absl::StatusOr<bool> PutIfAbsent(std::string_view key, std::string_view bytes) override;
  absl::Status Delete(std::string_view key, std::string_view if_match = {}) override;
  absl::StatusOr<PlannedWrite> BeginWrite(std::string_view key, uint64_t size,
                                          std::string_view writer) override;
  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) override;
  absl::Status FlushWrite(const PlannedWrite& write) override;
  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override;
  absl::Status AbortWrite(const PlannedWrite& write) override;

 private:
  template <typename Result>
  Result Record(StoreOp op, std::string_view key, uint64_t offset, uint64_t size, Result result);

  const std::shared_ptr<ObjectStore> wrapped_;
  mutable Mutex mutex_;
  std::vector<StoreCall> calls_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_RECORDING_STORE_H_
