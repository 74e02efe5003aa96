#include "common/storage/read_whole.h"

#include <cstddef>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace merganser {

absl::StatusOr<std::optional<std::string>> ReadWhole(ObjectStore& store, std::string_view key,
                                                     uint64_t max_bytes) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store.Stat(key));
  if (!info.has_value()) return std::optional<std::string>();
  if (info->size > max_bytes) {
    return absl::DataLossError(absl::StrCat(
        store.Describe(key), ": found ", info->size, " bytes, expected at most ", max_bytes, " (",
        FormatBytes(max_bytes), "), because it is read into memory as a whole"));
  }
  MERGANSER_ASSIGN_OR_RETURN(std::string bytes, ReadPart(store, key, *info, 0, info->size));
  return std::optional<std::string>(std::move(bytes));
}

absl::StatusOr<std::string> ReadPart(ObjectStore& store, std::string_view key,
                                     const ObjectInfo& info, uint64_t begin, uint64_t size) {
  std::string bytes(size, '\0');
  if (!bytes.empty()) {
    MERGANSER_RETURN_IF_ERROR(
        store.Read(key, begin, std::as_writable_bytes(std::span<char>(bytes)), info.identity));
  }
  return bytes;
}

}  // namespace merganser
