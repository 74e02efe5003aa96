#ifndef MERGANSER_COMMON_STORAGE_FILE_FILE_STORE_H_
#define MERGANSER_COMMON_STORAGE_FILE_FILE_STORE_H_

#include <memory>
#include <string_view>

#include "common/storage/object_store.h"

namespace merganser {

// Objects as files under the folder `root` (absolute). What it promises and
// what it does not: README.md beside this file.
std::shared_ptr<ObjectStore> MakeFileStore(std::string_view root);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_FILE_FILE_STORE_H_
