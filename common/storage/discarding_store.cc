#include "common/storage/discarding_store.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/storage/forwarding_store.h"

namespace merganser {
namespace {

class DiscardingStore final : public ForwardingStore {
 public:
  explicit DiscardingStore(std::shared_ptr<ObjectStore> rest) : ForwardingStore(std::move(rest)) {}

  StoreTraits traits() const override { return {}; }

  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout,
                                          std::string_view writer) override {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(layout.key));
    MERGANSER_RETURN_IF_ERROR(ValidateWriter(writer, Describe(layout.key)));
    return PlannedWrite{layout.key, layout.size, "discarded"};
  }

  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) override {
    if (offset > write.size || bytes.size() > write.size - offset) {
      return absl::InvalidArgumentError(absl::StrCat(Describe(write.key), ": found ", bytes.size(),
                                                     " bytes at ", offset,
                                                     ", expected none beyond ", write.size));
    }
    return WriteReceipt{offset, bytes.size(), ""};
  }

  absl::Status FlushWrite(const PlannedWrite&) override { return absl::OkStatus(); }
  absl::StatusOr<bool> Stands(const PlannedWrite&) override { return true; }
  absl::StatusOr<std::vector<size_t>> LostPieces(const PlannedWrite&,
                                                 std::span<const WriteReceipt>) override {
    return std::vector<size_t>();
  }
  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override {
    return CheckCoverage(receipts, write.size, Describe(write.key));
  }
  absl::Status AbortWrite(const PlannedWrite&) override { return absl::OkStatus(); }
  absl::Status AbortWritesOf(std::string_view, std::string_view, std::optional<WallTime>) override {
    return absl::OkStatus();
  }
};

}  // namespace

std::shared_ptr<ObjectStore> MakeDiscardingStore(std::shared_ptr<ObjectStore> rest) {
  return std::make_shared<DiscardingStore>(std::move(rest));
}

}  // namespace merganser
