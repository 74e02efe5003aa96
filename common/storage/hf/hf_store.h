#ifndef MERGANSER_COMMON_STORAGE_HF_HF_STORE_H_
#define MERGANSER_COMMON_STORAGE_HF_HF_STORE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/storage/hf/cache.h"
#include "common/storage/hf/hub.h"
#include "common/storage/hf/location.h"
#include "common/storage/object_store.h"

namespace merganser {

// `location` with its revision's commit: that of the local cache where it has the whole model, else
// what the hub says. `cached` is nullptr where there is no cache of it.
absl::StatusOr<HfLocation> PinHfLocation(const Hub& hub, const HfCachedModel* cached,
                                         const HfLocation& location);

// A model of the hub, for reading. What the cache has of it is read from there, the rest from the
// hub, range by range; an object's identity is the same in both. A location that is not pinned is
// when it is used first.
std::shared_ptr<ObjectStore> MakeHfStore(std::shared_ptr<const Hub> hub,
                                         std::shared_ptr<const HfCachedModel> cached,
                                         const HfLocation& location);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HF_HF_STORE_H_
