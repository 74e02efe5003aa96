// Byte counts as people write and read them.
#ifndef MERGANSER_COMMON_BASE_BYTES_H_
#define MERGANSER_COMMON_BASE_BYTES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser {

inline constexpr uint64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;

// "8GiB", "512MiB", "5GB" (10^9), "5B", "1.5GiB", or a bare number of bytes.
// Case of the unit does not matter. InvalidArgument says what was found.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// A value for --memory that is at least `bytes`: whole MiB, as "1536MiB".
std::string MemoryFlag(uint64_t bytes);

// "1.50 GiB", "24.0 KiB", "17 B".
std::string FormatBytes(uint64_t bytes);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_BYTES_H_
