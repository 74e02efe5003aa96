// Scheme -> store.
#ifndef MERGANSER_COMMON_STORAGE_OPEN_H_
#define MERGANSER_COMMON_STORAGE_OPEN_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/storage/object_store.h"
#include "common/storage/roots.h"

namespace merganser {

// A store rooted at `uri` (ParseUri's grammar). Opening does not touch the
// storage: a root that is missing shows when it is used. A scheme that this
// build does not have is kInvalidArgument and lists those it has. `memory://name`
// is one store a name for the life of the process (tests).
//
// With `roots` a location outside of them is kPermissionDenied, and so is, whenever
// it is used, an object of a file store that a link leads out of them.
absl::StatusOr<std::shared_ptr<ObjectStore>> OpenStore(std::string_view uri,
                                                       const AllowedRoots& roots = {});

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_OPEN_H_
