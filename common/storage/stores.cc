#include "common/storage/stores.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/elsewhere.h"
#include "common/storage/file/file_store.h"
#include "common/storage/http/url.h"
#include "common/storage/memory/memory_store.h"
#include "common/storage/rooted_store.h"
#include "common/storage/s3/aws/config.h"
#include "common/storage/s3/aws/source.h"
#include "common/storage/s3/aws/times.h"
#include "common/storage/s3/aws/variables.h"
#include "common/storage/s3/client.h"
#include "common/storage/s3/environment.h"
#include "common/storage/s3/place.h"
#include "common/storage/s3/request.h"
#include "common/storage/s3/s3_store.h"
#include "common/storage/s3/uploads.h"
#include "common/storage/store_metrics.h"
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

// Looks for settings when the first bucket is named, and connects when one is opened: most
// processes have none.
class Stores::Buckets {
 public:
  Buckets(const s3::Settings& settings, const StoreMetrics& metrics)
      : settings_(settings), amazon_(metrics.Http("s3")), google_(metrics.Http("gs")) {}

  static bool Has(std::string_view scheme) { return scheme == "s3" || scheme == "gs"; }

  // Precondition of both: Has(uri.scheme).
  absl::StatusOr<std::shared_ptr<ObjectStore>> Open(const Uri& uri) {
    MERGANSER_ASSIGN_OR_RETURN(const Opened opened, ClientOf(uri));
    return s3::MakeS3Store(opened.client, opened.prefix, settings_,
                           s3::TraitsOf(opened.client->endpoint()));
  }
  absl::StatusOr<std::vector<OpenUpload>> Uploads(const Uri& uri) {
    MERGANSER_ASSIGN_OR_RETURN(const Opened opened, ClientOf(uri));
    const s3::Place place(opened.client, "", settings_.write);
    const std::string prefix = opened.prefix.empty() ? "" : absl::StrCat(opened.prefix, "/");
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<s3::ListedUpload> listed,
                               s3::Uploads(place).List(prefix));
    std::vector<OpenUpload> uploads;
    for (const s3::ListedUpload& upload : listed) {
      OpenUpload& one = uploads.emplace_back();
      const size_t slash = upload.key.rfind('/');
      const size_t name = slash == std::string::npos ? 0 : slash + 1;
      one.folder = absl::StrCat(uri.scheme, "://", opened.client->bucket(), name == 0 ? "" : "/",
                                upload.key.substr(0, name == 0 ? 0 : slash));
      one.name = upload.key.substr(name);
      one.id = upload.id;
      one.begun = s3::TimeOf(upload.initiated);
    }
    return uploads;
  }

  // These two connect to nothing.
  absl::StatusOr<StoreTraits> TraitsOf(const Uri& uri) {
    MutexLock lock(mutex_);
    MERGANSER_ASSIGN_OR_RETURN(const s3::Endpoint endpoint, EndpointOf(uri));
    return s3::TraitsOf(endpoint);
  }
  absl::StatusOr<std::string> PlaceOf(const Uri& uri) {
    const auto [bucket, prefix] = Split(uri);
    MutexLock lock(mutex_);
    MERGANSER_ASSIGN_OR_RETURN(const s3::Endpoint endpoint, EndpointOf(uri));
    const s3::BucketPlace place = s3::PlaceOf(endpoint, bucket, endpoint.region);
    return absl::StrCat("//", place.host, place.path, "/", EncodePath(prefix));
  }

  StorageCounts Counts() const { return amazon_->Now() + google_->Now(); }

 private:
  struct Connected {
    s3::Shared shared;
    s3::CredentialsSource credentials;
  };

  struct Opened {
    std::shared_ptr<s3::Client> client;
    std::string prefix;
  };

  // One client a bucket, which keeps what it learned of its region and clock.
  absl::StatusOr<Opened> ClientOf(const Uri& uri) {
    const auto [bucket, prefix] = Split(uri);
    MutexLock lock(mutex_);
    const std::pair<std::string, std::string> name(uri.scheme, bucket);
    if (const auto known = clients_.find(name); known != clients_.end()) {
      return Opened{known->second, prefix};
    }
    MERGANSER_ASSIGN_OR_RETURN(const s3::Endpoint endpoint, EndpointOf(uri));
    MERGANSER_RETURN_IF_ERROR(Connect());
    s3::Shared shared = connected_->shared;
    shared.counters = uri.scheme == "gs" ? google_ : amazon_;
    const auto client =
        std::make_shared<s3::Client>(std::move(shared), endpoint, bucket, connected_->credentials);
    clients_.emplace(name, client);
    return Opened{client, prefix};
  }

  // Bucket and prefix.
  static std::pair<std::string, std::string> Split(const Uri& uri) {
    const size_t slash = std::min(uri.path.find('/'), uri.path.size());
    return {uri.path.substr(0, slash), slash < uri.path.size() ? uri.path.substr(slash + 1) : ""};
  }

  absl::StatusOr<s3::Endpoint> EndpointOf(const Uri& uri) MERGANSER_REQUIRES(mutex_) {
    if (!config_.has_value()) {
      MERGANSER_ASSIGN_OR_RETURN(config_, s3::Config::Load(s3::ProcessVariables()));
    }
    const std::string bucket = Split(uri).first;
    return uri.scheme == "gs" ? s3::GoogleEndpoint(*config_, bucket)
                              : s3::EndpointOf(*config_, bucket);
  }

  // After EndpointOf.
  absl::Status Connect() MERGANSER_REQUIRES(mutex_) {
    if (connected_.has_value()) return absl::OkStatus();
    MERGANSER_ASSIGN_OR_RETURN(const HttpOptions options, s3::ConnectionsOf(*config_));
    s3::Shared shared;
    MERGANSER_ASSIGN_OR_RETURN(shared.http, HttpClient::Make(options));
    shared.bandwidth = std::make_shared<BandwidthLimit>(settings_.bandwidth);
    shared.checksum = settings_.checksum;
    s3::CredentialsSource source = s3::SourceOf(config_->variables(), shared.http, settings_);
    connected_ = Connected{std::move(shared), std::move(source)};
    return absl::OkStatus();
  }

  const s3::Settings settings_;
  const std::shared_ptr<StorageCounters> amazon_, google_;
  Mutex mutex_;
  std::optional<s3::Config> config_ MERGANSER_GUARDED_BY(mutex_);
  std::optional<Connected> connected_ MERGANSER_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, std::shared_ptr<s3::Client>> clients_
      MERGANSER_GUARDED_BY(mutex_);
};

Stores::Stores() : Stores(AllowedRoots()) {}
Stores::Stores(AllowedRoots roots) : Stores(StoreOptions{.roots = std::move(roots)}) {}
Stores::Stores(StoreOptions options)
    : roots_(std::move(options.roots)),
      metrics_(std::make_shared<const StoreMetrics>(options.metrics != nullptr
                                                        ? std::move(options.metrics)
                                                        : std::make_shared<MetricRegistry>())),
      buckets_(std::make_shared<Buckets>(options.buckets, *metrics_)),
      elsewhere_(std::make_shared<Elsewhere>(options.private_addresses, metrics_->Http("https"))) {}

const std::shared_ptr<MetricRegistry>& Stores::metrics() const { return metrics_->registry(); }

absl::StatusOr<std::shared_ptr<ObjectStore>> Stores::Open(std::string_view text) const {
  MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> store, OpenUnmetered(text));
  MERGANSER_ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  return MakeMeteredStore(std::move(store), uri.scheme, metrics_);
}

absl::StatusOr<std::shared_ptr<ObjectStore>> Stores::OpenUnmetered(std::string_view text) const {
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
  if (Buckets::Has(uri.scheme)) return buckets_->Open(uri);
  if (Elsewhere::Has(uri.scheme)) {
    // What the hub's store reads of its cache is counted once, as the hub's.
    return elsewhere_->Open(uri,
                            [this](const std::string& folder) { return OpenUnmetered(folder); });
  }
  return absl::InvalidArgumentError(
      absl::StrCat("location \"", Shown(text), "\" has the scheme \"", Shown(uri.scheme),
                   "\", which this build does not have; it has: file, memory, s3, gs, https, hf"));
}

absl::StatusOr<StoreTraits> Stores::TraitsOf(std::string_view text) const {
  MERGANSER_ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  if (Buckets::Has(uri.scheme)) {
    MERGANSER_RETURN_IF_ERROR(roots_.Check(text));
    return buckets_->TraitsOf(uri);
  }
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<ObjectStore> store, Open(text));
  return store->traits();
}

absl::StatusOr<std::string> Stores::Pin(std::string_view text) const {
  MERGANSER_ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  if (uri.scheme != "hf") return std::string(text);
  MERGANSER_RETURN_IF_ERROR(roots_.Check(text));
  return elsewhere_->Pin(uri, [this](const std::string& folder) { return OpenUnmetered(folder); });
}

absl::StatusOr<std::vector<OpenUpload>> Stores::OpenUploads(std::string_view text) const {
  MERGANSER_ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  if (!Buckets::Has(uri.scheme)) {
    return absl::InvalidArgumentError(
        absl::StrCat("location \"", Shown(text),
                     "\": expected a bucket, as s3://BUCKET/PREFIX: others have no "
                     "uploads"));
  }
  MERGANSER_RETURN_IF_ERROR(roots_.Check(text));
  return buckets_->Uploads(uri);
}

absl::StatusOr<std::string> Stores::PlaceOf(std::string_view text) const {
  MERGANSER_ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  if (Buckets::Has(uri.scheme)) return buckets_->PlaceOf(uri);
  if (uri.scheme != "https" && uri.scheme != "http") return std::string();
  MERGANSER_ASSIGN_OR_RETURN(const HttpUrl url, ParseHttpUrl(text));
  const std::string origin = url.Origin();
  return absl::StrCat(origin.substr(origin.find("//")), url.target);
}

StorageCounts Stores::Counts() const { return buckets_->Counts(); }

}  // namespace merganser
