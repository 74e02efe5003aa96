#include "common/storage/stores.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/file/file_store.h"
#include "common/storage/memory/memory_store.h"
#include "common/storage/rooted_store.h"
#include "common/storage/uri.h"

namespace merganser {
namespace {

class NamedMemoryStores {
 public:
  std::shared_ptr<ObjectStore> Get(const std::string& name) {
    MutexLock lock(mutex_);
    std::shared_ptr<ObjectStore>& store = stores_[name];
    if (store == nullptr) store = MakeMemoryStore(name);
    return store;
  }

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<ObjectStore>> stores_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::shared_ptr<ObjectStore>> Stores::Open(std::string_view text) const {
  MERGANSER_ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  if (uri.scheme == "file") {
    if (uri.path.front() != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("path \"", Shown(uri.path),
                       "\" is relative; a store needs an absolute one, such as /models/a"));
    }
    MERGANSER_RETURN_IF_ERROR(roots_.Check(text));
    if (roots_.everything()) return MakeFileStore(uri.path);
    const auto check = [roots = roots_](const std::string& place) { return roots.Check(place); };
    return MakeRootedStore(MakeFileStore(uri.path, check), uri.path, roots_);
  }
  MERGANSER_RETURN_IF_ERROR(roots_.Check(text));
  if (uri.scheme == "memory") {
    // Never destroyed: a store may outlive main.
    static NamedMemoryStores* const stores = new NamedMemoryStores;
    return stores->Get(uri.path);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("location \"", Shown(text), "\" has the scheme \"", Shown(uri.scheme),
                   "\", which this build does not have; it has: file, memory"));
}

}  // namespace merganser
