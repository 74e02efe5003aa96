// Location -> store.
#ifndef MERGANSER_COMMON_STORAGE_STORES_H_
#define MERGANSER_COMMON_STORAGE_STORES_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/storage/http/counters.h"
#include "common/storage/object_store.h"
#include "common/storage/roots.h"
#include "common/storage/s3/settings.h"

namespace merganser {

// An upload that is under way, or was left behind.
struct OpenUpload {
  std::string folder, name;       // of the object that it would make: "s3://bucket/a", "b"
  std::string id;                 // PlannedWrite::upload
  std::optional<WallTime> begun;  // by the store's clock
};

// Where a process, or one side of it, may read and write, and how.
struct StoreOptions {
  AllowedRoots roots = {};
  s3::Settings buckets = {};
  // Web servers may have addresses that are not of the public Internet, and go without TLS there.
  // Off, nobody who names a model has a service read from its own network.
  bool private_addresses = false;
  // Where what stores are asked for is counted (store_metrics.h); null: in a registry that only
  // these stores have.
  std::shared_ptr<MetricRegistry> metrics = nullptr;
};

class Elsewhere;
class StoreMetrics;

// Opens the stores of one process, or of one side of it: whatever they share, they share by this.
// Copies are one and the same. Thread-safe.
class Stores {
 public:
  Stores();  // everywhere
  explicit Stores(AllowedRoots roots);
  explicit Stores(StoreOptions options);

  // A store rooted at `uri` (ParseUri's grammar). Opening does not touch the
  // storage: a root that is missing shows when it is used. A scheme that this
  // build does not have is kInvalidArgument and lists those it has. `memory://name`
  // is one store a name for the life of the process (tests).
  //
  // A location outside of the roots is kPermissionDenied, and so is, whenever
  // it is used, an object of a file store that a link leads out of them.
  absl::StatusOr<std::shared_ptr<ObjectStore>> Open(std::string_view uri) const;

  // traits() of what Open(uri) opens; for a bucket nothing is connected for it.
  absl::StatusOr<StoreTraits> TraitsOf(std::string_view uri) const;

  // Uploads below `uri`, of a bucket, that were neither completed nor aborted.
  absl::StatusOr<std::vector<OpenUpload>> OpenUploads(std::string_view uri) const;

  // Where HTTP finds what `uri` names, "//HOST/PATH": the same however it is spelled, as a
  // bucket's, another's at the same endpoint, or a web server's. Empty for others. Asks nobody.
  absl::StatusOr<std::string> PlaceOf(std::string_view uri) const;

  // What was asked of buckets so far: of all that count in the same registry.
  StorageCounts Counts() const;
  // `uri`, with the commit in the place of a revision that may come to mean another (hf://), which
  // the hub is asked for; others are returned as they are. Errors as those of a store.
  absl::StatusOr<std::string> Pin(std::string_view uri) const;

  const AllowedRoots& roots() const { return roots_; }
  // Where every store that they open counts. Never null.
  const std::shared_ptr<MetricRegistry>& metrics() const;

 private:
  class Buckets;  // what the stores of buckets share: connections, credentials, retries

  absl::StatusOr<std::shared_ptr<ObjectStore>> OpenUnmetered(std::string_view uri) const;

  AllowedRoots roots_;
  std::shared_ptr<const StoreMetrics> metrics_;
  std::shared_ptr<Buckets> buckets_;
  std::shared_ptr<Elsewhere> elsewhere_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_STORES_H_
