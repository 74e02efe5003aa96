// Ranges of an object by HTTP: what is asked for, and whether an answer is that.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_RANGES_H_
#define MERGANSER_COMMON_STORAGE_HTTP_RANGES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/storage/http/fetch.h"

namespace merganser {

// A piece is worth its request, and several hide the way there.
inline constexpr uint64_t kHttpReadSize = uint64_t{8} << 20;
inline constexpr uint32_t kHttpReadsInFlight = 32;

struct ContentRange {
  uint64_t begin = 0;
  uint64_t end = 0;  // behind the last byte
  uint64_t total = 0;
};
// "bytes 0-9/100"; nullopt for anything else, with an unknown total too.
std::optional<ContentRange> ParseContentRange(std::string_view text);

// `whole` with a Range each, of at most kHttpReadSize, for `out` from `offset`; `out` is not empty.
std::vector<Fetch> RangeFetches(const Fetch& whole, uint64_t offset, std::span<std::byte> out);

// The size of the whole object, where `answer`, a 2xx or 416, has just `size` bytes from `offset`.
// kOutOfRange where the object has not so many; kFailedPrecondition for a server that ignores
// ranges, or sends bytes that are compressed.
absl::StatusOr<uint64_t> CheckRange(const HttpAnswer& answer, uint64_t offset, uint64_t size);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_RANGES_H_
