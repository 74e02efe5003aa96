// Small objects, which are read into memory as a whole.
#ifndef MERGANSER_COMMON_STORAGE_READ_WHOLE_H_
#define MERGANSER_COMMON_STORAGE_READ_WHOLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/storage/object_store.h"

namespace merganser {

// The bytes of the object; nullopt when there is none. More than `max_bytes` is kDataLoss
// telling both sizes, and so is an object that changes while it is read.
absl::StatusOr<std::optional<std::string>> ReadWhole(ObjectStore& store, std::string_view key,
                                                     uint64_t max_bytes);

// `size` bytes of it from `begin`, of an object whose info is known: those that `info` tells of.
absl::StatusOr<std::string> ReadPart(ObjectStore& store, std::string_view key,
                                     const ObjectInfo& info, uint64_t begin, uint64_t size);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_READ_WHOLE_H_
