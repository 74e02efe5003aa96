#ifndef MERGANSER_COMMON_STORAGE_MEMORY_MEMORY_STORE_H_
#define MERGANSER_COMMON_STORAGE_MEMORY_MEMORY_STORE_H_

#include <memory>
#include <string_view>

#include "common/storage/object_store.h"

namespace merganser {

// Objects in this process's memory; the reference that the other stores are
// held against, and a fast stage for tests. `name` appears in Describe(). With `traits` it is as
// strict as a store that has them: with whole pieces, two writes of a piece have two proofs, and
// whoever begins a write again has two.
std::shared_ptr<ObjectStore> MakeMemoryStore(std::string_view name, const StoreTraits& traits = {});

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_MEMORY_MEMORY_STORE_H_
