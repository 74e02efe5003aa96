// Storage that remembers what was asked of it.
#ifndef MERGANSER_TESTS_TESTING_RECORDING_STORE_H_
#define MERGANSER_TESTS_TESTING_RECORDING_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/storage/forwarding_store.h"

namespace merganser {

// One call, as StoreRequest has it.
struct StoreCall {
  StoreOp op;
  std::string key;
  uint64_t offset = 0;
  uint64_t size = 0;
  bool flat = false;
  bool ok = false;
};

// Wraps a store. Thread-safe; calls stand in the order in which they returned.
class RecordingStore final : public ForwardingStore {
 public:
  explicit RecordingStore(std::shared_ptr<ObjectStore> wrapped);

  std::vector<StoreCall> Calls() const;
  std::vector<StoreCall> Calls(StoreOp op) const;
  // Of calls that succeeded; an empty key means all keys. Written are the bytes
  // of WriteRange, Put and PutIfAbsent (also one that found an object there).
  uint64_t BytesRead(std::string_view key = {}) const;
  uint64_t BytesWritten(std::string_view key = {}) const;
  void Clear();

 private:
  absl::Status Around(const StoreRequest& request, Work work) override;

  mutable Mutex mutex_;
  std::vector<StoreCall> calls_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_RECORDING_STORE_H_
