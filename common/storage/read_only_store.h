// What stores that can only be read have in common.
#ifndef MERGANSER_COMMON_STORAGE_READ_ONLY_STORE_H_
#define MERGANSER_COMMON_STORAGE_READ_ONLY_STORE_H_

#include <optional>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/object_store.h"

namespace merganser {

// Whatever writes is kFailedPrecondition and touches nothing; traits() must say `read_only`.
class ReadOnlyStore : public ObjectStore {
 public:
  absl::Status Put(std::string_view key, std::string_view bytes) override;
  absl::StatusOr<bool> PutIfAbsent(std::string_view key, std::string_view bytes) override;
  absl::Status Delete(std::string_view key, std::string_view if_match = {}) override;
  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout,
                                          std::string_view writer) override;
  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) override;
  absl::Status FlushWrite(const PlannedWrite& write) override;
  absl::StatusOr<bool> Stands(const PlannedWrite& write) override;
  absl::StatusOr<std::vector<size_t>> LostPieces(const PlannedWrite& write,
                                                 std::span<const WriteReceipt> receipts) override;
  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override;
  absl::Status AbortWrite(const PlannedWrite& write) override;
  absl::Status AbortWritesOf(std::string_view key, std::string_view writer,
                             std::optional<WallTime> since) override;

 private:
  absl::Status Refuse(std::string_view key) const;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_READ_ONLY_STORE_H_
