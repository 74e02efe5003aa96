#ifndef MERGANSER_COMMON_STORAGE_FILE_LISTING_H_
#define MERGANSER_COMMON_STORAGE_FILE_LISTING_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/storage/object_store.h"

namespace merganser {

// The files below `root` (which ends with '/') whose key begins with `prefix`,
// in byte order. Links to files are followed, links to folders are not: they may
// form a circle. Partial files are left out. A folder that is missing holds
// nothing.
absl::StatusOr<std::vector<ListedObject>> ListFiles(const std::string& root,
                                                    std::string_view prefix);

// Those directly in the folder with the key `folder` ("" is the root itself), as
// ObjectStore::ListFolder.
absl::StatusOr<std::vector<ListedObject>> ListFilesOfFolder(const std::string& root,
                                                            std::string_view folder, size_t limit);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_FILE_LISTING_H_
