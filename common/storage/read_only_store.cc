#include "common/storage/read_only_store.h"

#include "absl/strings/str_cat.h"

namespace merganser {

absl::Status ReadOnlyStore::Put(std::string_view key, std::string_view) { return Refuse(key); }
absl::StatusOr<bool> ReadOnlyStore::PutIfAbsent(std::string_view key, std::string_view) {
  return Refuse(key);
}
absl::Status ReadOnlyStore::Delete(std::string_view key, std::string_view) { return Refuse(key); }
absl::StatusOr<PlannedWrite> ReadOnlyStore::BeginWrite(const WriteLayout& layout,
                                                       std::string_view) {
  return Refuse(layout.key);
}
absl::StatusOr<WriteReceipt> ReadOnlyStore::WriteRange(const PlannedWrite& write, uint64_t,
                                                       std::span<const std::byte>) {
  return Refuse(write.key);
}
absl::Status ReadOnlyStore::FlushWrite(const PlannedWrite& write) { return Refuse(write.key); }
absl::StatusOr<bool> ReadOnlyStore::Stands(const PlannedWrite& write) { return Refuse(write.key); }
absl::StatusOr<std::vector<size_t>> ReadOnlyStore::LostPieces(const PlannedWrite& write,
                                                              std::span<const WriteReceipt>) {
  return Refuse(write.key);
}
absl::Status ReadOnlyStore::CommitWrite(const PlannedWrite& write, std::span<const WriteReceipt>) {
  return Refuse(write.key);
}
absl::Status ReadOnlyStore::AbortWrite(const PlannedWrite& write) { return Refuse(write.key); }
absl::Status ReadOnlyStore::AbortWritesOf(std::string_view key, std::string_view,
                                          std::optional<WallTime>) {
  return Refuse(key);
}

absl::Status ReadOnlyStore::Refuse(std::string_view key) const {
  return absl::FailedPreconditionError(
      absl::StrCat(Describe(key), ": is only read; write to a disk or a bucket"));
}

}  // namespace merganser
