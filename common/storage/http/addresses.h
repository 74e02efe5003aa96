// Which addresses of the Internet protocols are on the public Internet: pure.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_ADDRESSES_H_
#define MERGANSER_COMMON_STORAGE_HTTP_ADDRESSES_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace merganser {

// A version 4 address is kept as the version 6 one that it is mapped to (::ffff:a.b.c.d).
using IpAddress = std::array<uint8_t, 16>;

// "127.0.0.1", "::1", "[::1]", "fe80::1%eth0"; nullopt for a name, and for the short and octal
// forms of old ("127.1", "0177.0.0.1").
std::optional<IpAddress> ParseIpAddress(std::string_view text);

bool IsLoopback(const IpAddress& address);

// Whether anybody may be reached by it: neither this machine (127.0.0.0/8, ::1) nor its link (with
// 169.254.169.254, where clouds tell secrets), no private network (RFC 1918, 100.64.0.0/10,
// fc00::/7), nothing that is reserved, for documentation or for many, and no address that holds or
// translates to such a version 4 one.
bool IsPublic(const IpAddress& address);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_ADDRESSES_H_
