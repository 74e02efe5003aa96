#include "common/storage/object_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"

namespace merganser {
namespace {

absl::Status BadKey(std::string_view key, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("object key \"", Shown(key), "\" ", std::string(why),
                   "; expected a relative path such as \"folder/name\""));
}

}  // namespace

absl::Status ValidateKey(std::string_view key) {
  if (key.empty()) return BadKey(key, "is empty");
  if (key.front() == '/') return BadKey(key, "is absolute");
  if (key.find('\0') != std::string_view::npos) return BadKey(key, "contains a zero byte");
  for (size_t begin = 0; begin <= key.size();) {
    const size_t end = std::min(key.find('/', begin), key.size());
    const std::string_view segment = key.substr(begin, end - begin);
    if (segment.empty()) return BadKey(key, "has an empty segment");
    if (segment == "." || segment == "..") return BadKey(key, "has a \".\" or \"..\" segment");
    begin = end + 1;
  }
  return absl::OkStatus();
}

absl::Status ValidateWriter(std::string_view writer, std::string_view what) {
  const bool good = !writer.empty() && std::all_of(writer.begin(), writer.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(Shown(what), ": the writer is named \"",
                                                 Shown(writer),
                                                 "\"; expected letters, digits, '-' and '_'"));
}

absl::Status CheckCoverage(std::span<const WriteReceipt> receipts, uint64_t size,
                           std::string_view what) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;  // offset, size
  ranges.reserve(receipts.size());
  for (const WriteReceipt& receipt : receipts) {
    if (receipt.offset > size || receipt.size > size - receipt.offset) {
      return absl::DataLossError(absl::StrCat(Shown(what), ": a receipt covers ", receipt.size,
                                              " bytes from ", receipt.offset,
                                              ", beyond the planned size of ", size, " bytes"));
    }
    ranges.emplace_back(receipt.offset, receipt.size);
  }
  std::sort(ranges.begin(), ranges.end());
  uint64_t covered = 0;
  for (const auto& [offset, length] : ranges) {
    if (offset > covered) {
      return absl::DataLossError(absl::StrCat(Shown(what), ": bytes ", covered, " to ", offset,
                                              " of ", size, " were never written"));
    }
    covered = std::max(covered, offset + length);
  }
  if (covered < size) {
    return absl::DataLossError(absl::StrCat(Shown(what), ": bytes ", covered, " to ", size, " of ",
                                            size, " were never written"));
  }
  return absl::OkStatus();
}

}  // namespace merganser
