#include "common/storage/store_op.h"

namespace merganser {

std::string_view StoreOpName(StoreOp op) {
  constexpr std::string_view kNames[kStoreOps] = {
      "Stat",       "Read",        "List",       "Put",          "PutIfAbsent",
      "Delete",     "BeginWrite",  "WriteRange", "FlushWrite",   "Stands",
      "LostPieces", "CommitWrite", "AbortWrite", "AbortWritesOf"};
  return kNames[static_cast<size_t>(op)];
}

}  // namespace merganser
