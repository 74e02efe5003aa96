#include "common/storage/http/ranges.h"

#include <limits>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/shown.h"

namespace merganser {
namespace {

// Takes the number that `text` begins with.
std::optional<uint64_t> TakeNumber(std::string_view& text) {
  size_t digits = 0;
  while (digits < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[digits]))) {
    ++digits;
  }
  uint64_t number = 0;
  if (!absl::SimpleAtoi(absl::string_view(text.data(), digits), &number)) return std::nullopt;
  text.remove_prefix(digits);
  return number;
}

bool Take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::optional<ContentRange> ParseContentRange(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const std::optional<uint64_t> first = TakeNumber(text);
  if (!first || !Take(text, '-')) return std::nullopt;
  const std::optional<uint64_t> last = TakeNumber(text);
  if (!last || !Take(text, '/')) return std::nullopt;
  const std::optional<uint64_t> total = TakeNumber(text);
  if (!total || !text.empty() || *last < *first || *total <= *last) return std::nullopt;
  return ContentRange{*first, *last + 1, *total};
}

std::vector<Fetch> RangeFetches(const Fetch& whole, uint64_t offset, std::span<std::byte> out) {
  std::vector<Fetch> fetches;
  const uint64_t pieces = CeilDiv(out.size(), kHttpReadSize);
  for (uint64_t i = 0; i < pieces; ++i) {
    const uint64_t begin = out.size() * i / pieces, end = out.size() * (i + 1) / pieces;
    Fetch fetch = whole;
    fetch.headers.push_back(absl::StrCat("Range: bytes=", offset + begin, "-", offset + end - 1));
    fetch.sink = out.subspan(begin, end - begin);
    fetches.push_back(std::move(fetch));
  }
  return fetches;
}

absl::StatusOr<uint64_t> CheckRange(const HttpAnswer& answer, uint64_t offset, uint64_t size) {
  if (answer.code == 416) return absl::OutOfRangeError("is shorter");
  const std::string_view encoding = answer.Header("content-encoding");
  if (!encoding.empty() && encoding != "identity") {
    return absl::FailedPreconditionError(absl::StrCat("found an answer that is compressed (",
                                                      Shown(encoding),
                                                      "), expected the bytes as they are"));
  }
  if (answer.code != 206) {
    return absl::FailedPreconditionError(
        absl::StrCat("found an answer ", answer.code,
                     " to a request for a range, expected 206: the server, or a proxy before it, "
                     "ignores ranges"));
  }
  const std::string_view told = answer.Header("content-range");
  const std::optional<ContentRange> range = ParseContentRange(told);
  const bool begins = range.has_value() && range->begin == offset;
  if (begins && range->end < offset + size && range->end == range->total) {
    return absl::OutOfRangeError("is shorter");
  }
  if (!begins || range->end != offset + size || answer.overflowed || answer.sunk != size) {
    return absl::FailedPreconditionError(absl::StrCat("found the answer \"", Shown(told),
                                                      "\" to a request for bytes ", offset, "-",
                                                      offset + size - 1, ", expected just these"));
  }
  return range->total;
}

}  // namespace merganser
