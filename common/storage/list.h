// What is asked of a store's listings.
#ifndef MERGANSER_COMMON_STORAGE_LIST_H_
#define MERGANSER_COMMON_STORAGE_LIST_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/storage/object_store.h"

namespace merganser {

// All objects whose key begins with `prefix`, however deep, in byte order of the keys.
absl::StatusOr<std::vector<ListedObject>> ListAll(ObjectStore& store, std::string_view prefix);

// The objects directly in `folder` (a key; "" is the root), in byte order of the keys. A folder of
// more than `limit` objects and folders is kInvalidArgument, found without reading the rest; a
// missing one holds nothing.
absl::StatusOr<std::vector<ListedObject>> ListFolder(ObjectStore& store, std::string_view folder,
                                                     size_t limit);

// Some object of the store outside of `ignored`, folders that each end with '/'; nullopt where
// there is none. Takes a few requests, however many objects there are.
absl::StatusOr<std::optional<std::string>> FindAnyObject(
    ObjectStore& store, const std::vector<std::string_view>& ignored = {});

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_LIST_H_
