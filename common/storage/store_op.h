#ifndef MERGANSER_COMMON_STORAGE_STORE_OP_H_
#define MERGANSER_COMMON_STORAGE_STORE_OP_H_

#include <cstddef>
#include <string_view>

namespace merganser {

// The methods of ObjectStore.
enum class StoreOp {
  kStat,
  kRead,
  kList,
  kPut,
  kPutIfAbsent,
  kDelete,
  kBeginWrite,
  kWriteRange,
  kFlushWrite,
  kStands,
  kLostPieces,
  kCommitWrite,
  kAbortWrite,
  kAbortWritesOf,
};
inline constexpr size_t kStoreOps = 14;

std::string_view StoreOpName(StoreOp op);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_STORE_OP_H_
