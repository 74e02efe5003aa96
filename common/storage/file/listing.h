#ifndef MERGANSER_COMMON_STORAGE_FILE_LISTING_H_
#define MERGANSER_COMMON_STORAGE_FILE_LISTING_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/storage/object_store.h"

namespace merganser {

// The files below `root` (which ends with '/') whose key begins with `prefix`, as
// ObjectStore::List. Links to files are followed, links to folders are not: they may
// form a circle. Partial files are left out. A folder that is missing holds
// nothing.
absl::StatusOr<Listing> ListFiles(const std::string& root, std::string_view prefix,
                                  const ListOptions& options);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_FILE_LISTING_H_
