#include "common/storage/rooted_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/storage/forwarding_store.h"

namespace merganser {
namespace {

class RootedStore final : public ForwardingStore {
 public:
  RootedStore(std::shared_ptr<ObjectStore> store, std::string path, AllowedRoots roots)
      : ForwardingStore(std::move(store)), path_(std::move(path)), roots_(std::move(roots)) {}

 private:
  absl::Status Around(const StoreRequest& request, Work work) override {
    MERGANSER_RETURN_IF_ERROR(CheckRequest(request));
    return work();
  }

  absl::Status CheckRequest(const StoreRequest& request) const {
    switch (request.op) {
      case StoreOp::kList:
        return Check(FolderOf(request.key));
      // What is removed is the link, never what it leads to.
      case StoreOp::kDelete:
      case StoreOp::kAbortWrite:
      case StoreOp::kAbortWritesOf:
        MERGANSER_RETURN_IF_ERROR(ValidateKey(request.key));
        return Check(FolderOf(request.key));
      default:
        return Check(request.key);
    }
  }
  absl::Status Check(std::string_view key) const {
    if (!key.empty()) MERGANSER_RETURN_IF_ERROR(ValidateKey(key));
    return roots_.Check(key.empty() ? path_ : absl::StrCat(path_, "/", std::string(key)));
  }
  static std::string_view FolderOf(std::string_view key) {
    const size_t slash = key.rfind('/');
    return slash == std::string_view::npos ? std::string_view() : key.substr(0, slash);
  }

  const std::string path_;
  const AllowedRoots roots_;
};

}  // namespace

std::shared_ptr<ObjectStore> MakeRootedStore(std::shared_ptr<ObjectStore> store, std::string path,
                                             AllowedRoots roots) {
  return std::make_shared<RootedStore>(std::move(store), std::move(path), std::move(roots));
}

}  // namespace merganser
