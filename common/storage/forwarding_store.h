// What stores that wrap another one have in common: every call goes through one place.
#ifndef MERGANSER_COMMON_STORAGE_FORWARDING_STORE_H_
#define MERGANSER_COMMON_STORAGE_FORWARDING_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/object_store.h"
#include "common/storage/store_op.h"

namespace merganser {

// One call of a store. `offset` and `size` are those of Read and WriteRange; for Put and
// PutIfAbsent `size` is that of the object, for BeginWrite the planned one.
struct StoreRequest {
  StoreOp op = StoreOp::kStat;
  std::string_view key;  // the prefix of List
  uint64_t offset = 0;
  uint64_t size = 0;
  bool flat = false;  // of List
};

// Passes every call on to the store that it wraps, by way of Around. As thread-safe as both.
class ForwardingStore : public ObjectStore {
 public:
  StoreTraits traits() const override;
  std::string Describe(std::string_view key) const override;
  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override;
  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match = {}) override;
  absl::StatusOr<Listing> List(std::string_view prefix, const ListOptions& options = {}) override;
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

 protected:
  using Work = absl::FunctionRef<absl::Status()>;

  explicit ForwardingStore(std::shared_ptr<ObjectStore> wrapped);

  ObjectStore& wrapped() const { return *wrapped_; }

  // Called for every call but traits and Describe; `work` is the wrapped store's part, and its
  // status. What is returned is what the caller gets: an error in the place of a success too, but
  // no success where there was none. As it stands: `work` and no more.
  virtual absl::Status Around(const StoreRequest& request, Work work);

 private:
  template <typename T, typename Call>
  absl::StatusOr<T> Pass(const StoreRequest& request, Call call);

  const std::shared_ptr<ObjectStore> wrapped_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_FORWARDING_STORE_H_
