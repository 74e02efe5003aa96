#include "common/storage/forwarding_store.h"

#include <utility>

namespace merganser {

ForwardingStore::ForwardingStore(std::shared_ptr<ObjectStore> wrapped)
    : wrapped_(std::move(wrapped)) {}

absl::Status ForwardingStore::Around(const StoreRequest&, Work work) { return work(); }

template <typename T, typename Call>
absl::StatusOr<T> ForwardingStore::Pass(const StoreRequest& request, Call call) {
  absl::StatusOr<T> result = absl::InternalError("a wrapper said that it did what it did not");
  absl::Status status = Around(request, [&]() -> absl::Status {
    result = call();
    return result.status();
  });
  if (!status.ok()) return status;
  return result;
}

StoreTraits ForwardingStore::traits() const { return wrapped_->traits(); }

std::string ForwardingStore::Describe(std::string_view key) const {
  return wrapped_->Describe(key);
}

absl::StatusOr<std::optional<ObjectInfo>> ForwardingStore::Stat(std::string_view key) {
  return Pass<std::optional<ObjectInfo>>({StoreOp::kStat, key},
                                         [&] { return wrapped_->Stat(key); });
}

absl::Status ForwardingStore::Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                                   std::string_view if_match) {
  return Around({StoreOp::kRead, key, offset, out.size()},
                [&] { return wrapped_->Read(key, offset, out, if_match); });
}

absl::StatusOr<Listing> ForwardingStore::List(std::string_view prefix, const ListOptions& options) {
  return Pass<Listing>({StoreOp::kList, prefix, 0, 0, options.flat},
                       [&] { return wrapped_->List(prefix, options); });
}

absl::Status ForwardingStore::Put(std::string_view key, std::string_view bytes) {
  return Around({StoreOp::kPut, key, 0, bytes.size()}, [&] { return wrapped_->Put(key, bytes); });
}

absl::StatusOr<bool> ForwardingStore::PutIfAbsent(std::string_view key, std::string_view bytes) {
  return Pass<bool>({StoreOp::kPutIfAbsent, key, 0, bytes.size()},
                    [&] { return wrapped_->PutIfAbsent(key, bytes); });
}

absl::Status ForwardingStore::Delete(std::string_view key, std::string_view if_match) {
  return Around({StoreOp::kDelete, key}, [&] { return wrapped_->Delete(key, if_match); });
}

absl::StatusOr<PlannedWrite> ForwardingStore::BeginWrite(const WriteLayout& layout,
                                                         std::string_view writer) {
  return Pass<PlannedWrite>({StoreOp::kBeginWrite, layout.key, 0, layout.size},
                            [&] { return wrapped_->BeginWrite(layout, writer); });
}

absl::StatusOr<WriteReceipt> ForwardingStore::WriteRange(const PlannedWrite& write, uint64_t offset,
                                                         std::span<const std::byte> bytes) {
  return Pass<WriteReceipt>({StoreOp::kWriteRange, write.key, offset, bytes.size()},
                            [&] { return wrapped_->WriteRange(write, offset, bytes); });
}

absl::Status ForwardingStore::FlushWrite(const PlannedWrite& write) {
  return Around({StoreOp::kFlushWrite, write.key}, [&] { return wrapped_->FlushWrite(write); });
}

absl::StatusOr<bool> ForwardingStore::Stands(const PlannedWrite& write) {
  return Pass<bool>({StoreOp::kStands, write.key}, [&] { return wrapped_->Stands(write); });
}

absl::StatusOr<std::vector<size_t>> ForwardingStore::LostPieces(
    const PlannedWrite& write, std::span<const WriteReceipt> receipts) {
  return Pass<std::vector<size_t>>({StoreOp::kLostPieces, write.key},
                                   [&] { return wrapped_->LostPieces(write, receipts); });
}

absl::Status ForwardingStore::CommitWrite(const PlannedWrite& write,
                                          std::span<const WriteReceipt> receipts) {
  return Around({StoreOp::kCommitWrite, write.key},
                [&] { return wrapped_->CommitWrite(write, receipts); });
}

absl::Status ForwardingStore::AbortWrite(const PlannedWrite& write) {
  return Around({StoreOp::kAbortWrite, write.key}, [&] { return wrapped_->AbortWrite(write); });
}

absl::Status ForwardingStore::AbortWritesOf(std::string_view key, std::string_view writer,
                                            std::optional<WallTime> since) {
  return Around({StoreOp::kAbortWritesOf, key},
                [&] { return wrapped_->AbortWritesOf(key, writer, since); });
}

}  // namespace merganser
