// The rules of pieces, for stores that take objects in whole ones.
#ifndef MERGANSER_COMMON_STORAGE_PIECES_H_
#define MERGANSER_COMMON_STORAGE_PIECES_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/object_store.h"

namespace merganser {

// How many pieces `write` has; an empty object has none.
size_t PieceCount(const PlannedWrite& write);

// Checks that the pieces of `layout` are as `traits`, of a store with whole pieces, want them;
// `what` names the object. kInvalidArgument.
absl::Status CheckPieces(const WriteLayout& layout, const StoreTraits& traits,
                         std::string_view what);

// Which piece of `write` [offset, offset + size) is, from 0; kInvalidArgument where it is none.
absl::StatusOr<size_t> PieceAt(const PlannedWrite& write, uint64_t offset, uint64_t size,
                               std::string_view what);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_PIECES_H_
