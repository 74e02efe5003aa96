#include "common/storage/s3/crc32c.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/escaping.h"
#include "isa-l/crc.h"

namespace merganser::s3 {

std::string Crc32cBase64(std::span<const std::byte> bytes) {
  constexpr size_t kAtOnce = size_t{1} << 30;  // the library counts in int
  uint32_t crc = 0xFFFFFFFF;
  while (!bytes.empty()) {
    const std::span<const std::byte> part = bytes.first(std::min(bytes.size(), kAtOnce));
    // It does not write there.
    crc = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<std::byte*>(part.data())),
                      static_cast<int>(part.size()), crc);
    bytes = bytes.subspan(part.size());
  }
  crc = ~crc;
  const std::array<char, 4> big = {static_cast<char>(crc >> 24), static_cast<char>(crc >> 16),
                                   static_cast<char>(crc >> 8), static_cast<char>(crc)};
  return absl::Base64Escape(std::string(big.data(), big.size()));
}

}  // namespace merganser::s3
