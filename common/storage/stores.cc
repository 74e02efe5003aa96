#include "common/storage/stores.h"

#include <algorithm>
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
#include "common/storage/s3/client.h"
#include "common/storage/s3/environment.h"
#include "common/storage/s3/s3_store.h"
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

// Connects when the first bucket is opened: most processes have none.
class Stores::Buckets {
 public:
  absl::StatusOr<std::shared_ptr<ObjectStore>> Open(const Uri& uri) {
    MERGANSER_ASSIGN_OR_RETURN(const s3::Shared shared, Connect());
    const size_t slash = std::min(uri.path.find('/'), uri.path.size());
    const std::string bucket = uri.path.substr(0, slash);
    const std::string prefix = slash < uri.path.size() ? uri.path.substr(slash + 1) : "";
    MERGANSER_ASSIGN_OR_RETURN(const s3::Endpoint endpoint, s3::EndpointFromEnvironment(bucket));
    const s3::Credentials credentials = s3::CredentialsFromEnvironment();
    const auto client = std::make_shared<s3::Client>(
        shared, endpoint, bucket,
        [credentials](bool) -> absl::StatusOr<s3::Credentials> { return credentials; });
    return s3::MakeS3Store(client, prefix, {}, s3::TraitsOf(endpoint));
  }

 private:
  absl::StatusOr<s3::Shared> Connect() {
    MutexLock lock(mutex_);
    if (shared_.http == nullptr) {
      MERGANSER_ASSIGN_OR_RETURN(shared_.http, HttpClient::Make({}));
    }
    return shared_;
  }

  Mutex mutex_;
  s3::Shared shared_ MERGANSER_GUARDED_BY(mutex_);
};

Stores::Stores() : Stores(AllowedRoots()) {}
Stores::Stores(AllowedRoots roots)
    : roots_(std::move(roots)), buckets_(std::make_shared<Buckets>()) {}

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
  if (uri.scheme == "s3") return buckets_->Open(uri);
  return absl::InvalidArgumentError(
      absl::StrCat("location \"", Shown(text), "\" has the scheme \"", Shown(uri.scheme),
                   "\", which this build does not have; it has: file, memory, s3"));
}

}  // namespace merganser
