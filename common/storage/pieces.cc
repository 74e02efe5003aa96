#include "common/storage/pieces.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

absl::Status Refused(std::string_view what, size_t piece, uint64_t size, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(what), ": piece ", piece, " of ", size,
                                                 " bytes: ", std::string(why)));
}

}  // namespace

size_t PieceCount(const PlannedWrite& write) {
  return write.ends.empty() ? (write.size > 0 ? 1 : 0) : write.ends.size();
}

absl::Status CheckPieces(const WriteLayout& layout, const StoreTraits& traits,
                         std::string_view what) {
  const PlannedWrite write{layout.key, layout.size, "", layout.ends};
  const size_t count = PieceCount(write);
  if (count > traits.most_pieces) {
    return absl::InvalidArgumentError(absl::StrCat(
        std::string(what), ": found ", count, " pieces, expected at most ", traits.most_pieces));
  }
  uint64_t begin = 0;
  const uint64_t first = layout.ends.empty() ? layout.size : layout.ends.front();
  for (size_t i = 0; i < count; ++i) {
    const uint64_t end = layout.ends.empty() ? layout.size : layout.ends[i];
    if (end <= begin || end > layout.size) {
      return absl::InvalidArgumentError(absl::StrCat(std::string(what), ": piece ", i, " ends at ",
                                                     end, ", expected above ", begin,
                                                     " and at most ", layout.size));
    }
    const uint64_t size = end - begin;
    const bool last = i + 1 == count;
    if (size > traits.most_piece) {
      return Refused(what, i, size, absl::StrCat("expected at most ", traits.most_piece));
    }
    if (!last && size < traits.least_piece) {
      return Refused(what, i, size, absl::StrCat("expected at least ", traits.least_piece));
    }
    if (traits.equal_pieces && (last ? size > first : size != first)) {
      return Refused(what, i, size, absl::StrCat("expected ", first, " as the others have"));
    }
    begin = end;
  }
  if (begin == layout.size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(std::string(what), ": its pieces end at ", begin,
                                                 ", expected ", layout.size, " as its size"));
}

absl::StatusOr<size_t> PieceAt(const PlannedWrite& write, uint64_t offset, uint64_t size,
                               std::string_view what) {
  const auto none = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(what), ": a write of ", size, " bytes at offset ", offset,
                     " is no piece of the planned ", write.size, " bytes in ", PieceCount(write)));
  };
  if (write.ends.empty()) {
    if (offset != 0 || size != write.size || size == 0) return none();
    return 0;
  }
  const auto end = std::upper_bound(write.ends.begin(), write.ends.end(), offset);
  if (end == write.ends.end() || size != *end - offset) return none();
  if (offset != (end == write.ends.begin() ? 0 : *std::prev(end))) return none();
  return static_cast<size_t>(end - write.ends.begin());
}

}  // namespace merganser
