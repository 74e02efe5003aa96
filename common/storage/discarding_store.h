// Storage that takes large objects and keeps nothing of them.
#ifndef MERGANSER_COMMON_STORAGE_DISCARDING_STORE_H_
#define MERGANSER_COMMON_STORAGE_DISCARDING_STORE_H_

#include <memory>

#include "common/storage/object_store.h"

namespace merganser {

// Planned writes of it succeed, and their bytes are nowhere: there is no object after the commit.
// Everything else is `rest`'s. As thread-safe as that.
std::shared_ptr<ObjectStore> MakeDiscardingStore(std::shared_ptr<ObjectStore> rest);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_DISCARDING_STORE_H_
