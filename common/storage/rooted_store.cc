#include "common/storage/rooted_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

class RootedStore final : public ObjectStore {
 public:
  RootedStore(std::shared_ptr<ObjectStore> store, std::string path, AllowedRoots roots)
      : store_(std::move(store)), path_(std::move(path)), roots_(std::move(roots)) {}

  std::string Describe(std::string_view key) const override { return store_->Describe(key); }

  absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) override {
    MERGANSER_RETURN_IF_ERROR(Check(key));
    return store_->Stat(key);
  }
  absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                    std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(Check(key));
    return store_->Read(key, offset, out, if_match);
  }
  absl::StatusOr<std::vector<ListedObject>> List(std::string_view prefix) override {
    const size_t slash = prefix.rfind('/');
    MERGANSER_RETURN_IF_ERROR(
        Check(slash == std::string_view::npos ? std::string_view() : prefix.substr(0, slash)));
    return store_->List(prefix);
  }
  absl::StatusOr<std::vector<ListedObject>> ListFolder(std::string_view folder,
                                                       size_t limit) override {
    MERGANSER_RETURN_IF_ERROR(Check(folder));
    return store_->ListFolder(folder, limit);
  }
  absl::Status Put(std::string_view key, std::string_view bytes) override {
    MERGANSER_RETURN_IF_ERROR(Check(key));
    return store_->Put(key, bytes);
  }
  absl::StatusOr<bool> PutIfAbsent(std::string_view key, std::string_view bytes) override {
    MERGANSER_RETURN_IF_ERROR(Check(key));
    return store_->PutIfAbsent(key, bytes);
  }
  absl::Status Delete(std::string_view key, std::string_view if_match) override {
    MERGANSER_RETURN_IF_ERROR(CheckFolder(key));
    return store_->Delete(key, if_match);
  }
  absl::StatusOr<PlannedWrite> BeginWrite(std::string_view key, uint64_t size,
                                          std::string_view writer) override {
    MERGANSER_RETURN_IF_ERROR(Check(key));
    return store_->BeginWrite(key, size, writer);
  }
  absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                          std::span<const std::byte> bytes) override {
    MERGANSER_RETURN_IF_ERROR(Check(write.key));
    return store_->WriteRange(write, offset, bytes);
  }
  absl::Status FlushWrite(const PlannedWrite& write) override {
    MERGANSER_RETURN_IF_ERROR(Check(write.key));
    return store_->FlushWrite(write);
  }
  absl::Status CommitWrite(const PlannedWrite& write,
                           std::span<const WriteReceipt> receipts) override {
    MERGANSER_RETURN_IF_ERROR(Check(write.key));
    return store_->CommitWrite(write, receipts);
  }
  absl::Status AbortWrite(const PlannedWrite& write) override {
    MERGANSER_RETURN_IF_ERROR(CheckFolder(write.key));
    return store_->AbortWrite(write);
  }

 private:
  absl::Status Check(std::string_view key) const {
    if (!key.empty()) MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    return roots_.Check(key.empty() ? path_ : absl::StrCat(path_, "/", std::string(key)));
  }
  absl::Status CheckFolder(std::string_view key) const {
    MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    const size_t slash = key.rfind('/');
    return Check(slash == std::string_view::npos ? std::string_view() : key.substr(0, slash));
  }

  const std::shared_ptr<ObjectStore> store_;
  const std::string path_;
  const AllowedRoots roots_;
};

}  // namespace

std::shared_ptr<ObjectStore> MakeRootedStore(std::shared_ptr<ObjectStore> store, std::string path,
                                             AllowedRoots roots) {
  return std::make_shared<RootedStore>(std::move(store), std::move(path), std::move(roots));
}

}  // namespace merganser
