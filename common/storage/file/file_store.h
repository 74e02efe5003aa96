#ifndef MERGANSER_COMMON_STORAGE_FILE_FILE_STORE_H_
#define MERGANSER_COMMON_STORAGE_FILE_FILE_STORE_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/storage/object_store.h"

namespace merganser {

// Objects as files under the folder `root` (absolute). What it promises and
// what it does not: README.md beside this file.
// `check`, where given, is asked for every file that is opened, with the path at which the
// kernel says that it lies; its error is the operation's.
using PlaceCheck = std::function<absl::Status(const std::string& path)>;
std::shared_ptr<ObjectStore> MakeFileStore(std::string_view root, PlaceCheck check = nullptr);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_FILE_FILE_STORE_H_
