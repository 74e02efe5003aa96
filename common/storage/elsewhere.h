// Opens what is only read: web servers, and models of the Hugging Face hub.
#ifndef MERGANSER_COMMON_STORAGE_ELSEWHERE_H_
#define MERGANSER_COMMON_STORAGE_ELSEWHERE_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/storage/hf/cache.h"
#include "common/storage/hf/hub.h"
#include "common/storage/hf/location.h"
#include "common/storage/http/counters.h"
#include "common/storage/http/fetch.h"
#include "common/storage/http/tokens.h"
#include "common/storage/object_store.h"
#include "common/storage/uri.h"

namespace merganser {

// What the stores of web servers share: connections, tries again, credentials of the environment.
// Connects when the first is opened: most processes have none. Thread-safe.
class Elsewhere {
 public:
  // Opens a folder, such as the local cache's; an error where that may not be read.
  using OpenFolder =
      absl::FunctionRef<absl::StatusOr<std::shared_ptr<ObjectStore>>(const std::string& path)>;

  // `counters`: of what is asked over HTTP.
  Elsewhere(bool private_addresses, std::shared_ptr<StorageCounters> counters)
      : private_addresses_(private_addresses), counters_(std::move(counters)) {}

  static bool Has(std::string_view scheme) {
    return scheme == "http" || scheme == "https" || scheme == "hf";
  }

  // Precondition: Has(uri.scheme).
  absl::StatusOr<std::shared_ptr<ObjectStore>> Open(const Uri& uri, OpenFolder open);

  // Stores::Pin of hf://.
  absl::StatusOr<std::string> Pin(const Uri& uri, OpenFolder open);

 private:
  struct Shared {
    std::shared_ptr<Fetcher> fetcher;
    HttpTokens tokens;
  };
  absl::StatusOr<Shared> Connect();
  absl::StatusOr<std::shared_ptr<ObjectStore>> OpenUrl(const Uri& uri);
  absl::StatusOr<std::shared_ptr<const Hub>> OpenHub();

  const bool private_addresses_;
  const std::shared_ptr<StorageCounters> counters_;
  Mutex mutex_;
  Shared shared_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_ELSEWHERE_H_
