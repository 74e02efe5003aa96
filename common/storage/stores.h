// Location -> store.
#ifndef MERGANSER_COMMON_STORAGE_STORES_H_
#define MERGANSER_COMMON_STORAGE_STORES_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/storage/object_store.h"
#include "common/storage/roots.h"

namespace merganser {

// Opens the stores of one process, or of one side of it: whatever they share, they share by this.
// Copies are one and the same. Thread-safe.
class Stores {
 public:
  Stores();  // everywhere
  explicit Stores(AllowedRoots roots);

  // A store rooted at `uri` (ParseUri's grammar). Opening does not touch the
  // storage: a root that is missing shows when it is used. A scheme that this
  // build does not have is kInvalidArgument and lists those it has. `memory://name`
  // is one store a name for the life of the process (tests).
  //
  // A location outside of the roots is kPermissionDenied, and so is, whenever
  // it is used, an object of a file store that a link leads out of them.
  absl::StatusOr<std::shared_ptr<ObjectStore>> Open(std::string_view uri) const;

  const AllowedRoots& roots() const { return roots_; }

 private:
  class Buckets;  // what the stores of buckets share: connections, credentials, retries

  AllowedRoots roots_;
  std::shared_ptr<Buckets> buckets_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_STORES_H_
