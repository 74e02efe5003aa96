#include "common/base/random_id.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdlib>

namespace merganser {

std::string RandomHex(size_t bytes) {
  std::array<unsigned char, 64> buffer{};
  size_t filled = 0;
  while (filled < bytes) {
    const ssize_t got = getrandom(buffer.data() + filled, bytes - filled, 0);
    if (got > 0) {
      filled += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      // Only a kernel without the call gets here; a guessable token would be worse.
      std::abort();
    }
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes);
  for (size_t i = 0; i < bytes; ++i) {
    hex.push_back(kDigits[buffer[i] >> 4]);
    hex.push_back(kDigits[buffer[i] & 15]);
  }
  return hex;
}

}  // namespace merganser
