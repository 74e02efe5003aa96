#ifndef MERGANSER_COMMON_STORAGE_ROOTED_STORE_H_
#define MERGANSER_COMMON_STORAGE_ROOTED_STORE_H_

#include <memory>
#include <string>

#include "common/storage/object_store.h"
#include "common/storage/roots.h"

namespace merganser {

// `store`, whose root is the folder `path` (absolute), with every object held
// against `roots` before each operation: a link that leads out of them is
// kPermissionDenied, whoever made it and whenever. Removing judges the folder
// alone, because what is removed is the link, never what it leads to.
std::shared_ptr<ObjectStore> MakeRootedStore(std::shared_ptr<ObjectStore> store, std::string path,
                                             AllowedRoots roots);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_ROOTED_STORE_H_
