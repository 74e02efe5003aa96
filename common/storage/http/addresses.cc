#include "common/storage/http/addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <string>

namespace merganser {
namespace {

constexpr size_t kV4At = 12;

struct V4Block {
  uint32_t network;
  int bits;
};
// RFC 6890 and its registry of special-purpose addresses, without what is reached from anywhere.
constexpr V4Block kNotPublic[] = {
    {0x00000000, 8},   // this network
    {0x0a000000, 8},   // private
    {0x64400000, 10},  // shared by the customers of a provider
    {0x7f000000, 8},   // loopback
    {0xa9fe0000, 16},  // the link
    {0xac100000, 12},  // private
    {0xc0000000, 24},  // protocol assignments
    {0xc0000200, 24},  // documentation
    {0xc0586300, 24},  // 6to4 relays
    {0xc0a80000, 16},  // private
    {0xc6120000, 15},  // benchmarks
    {0xc6336400, 24},  // documentation
    {0xcb007100, 24},  // documentation
    {0xe0000000, 4},   // for many
    {0xf0000000, 4},   // reserved, and broadcast
};

uint32_t V4(const IpAddress& address, size_t at) {
  return uint32_t{address[at]} << 24 | uint32_t{address[at + 1]} << 16 |
         uint32_t{address[at + 2]} << 8 | address[at + 3];
}

bool IsPublicV4(uint32_t address) {
  return std::none_of(std::begin(kNotPublic), std::end(kNotPublic), [&](const V4Block& block) {
    return (address ^ block.network) >> (32 - block.bits) == 0;
  });
}

template <size_t kSize>
bool Begins(const IpAddress& address, const std::array<uint8_t, kSize>& prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

bool IsMapped(const IpAddress& address) {
  return Begins(address, std::array<uint8_t, 12>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff});
}

}  // namespace

std::optional<IpAddress> ParseIpAddress(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  const std::string plain(text.substr(0, text.find('%')));
  IpAddress address = {};
  if (::inet_pton(AF_INET6, plain.c_str(), address.data()) == 1) return address;
  address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (plain.size() == text.size() &&
      ::inet_pton(AF_INET, plain.c_str(), address.data() + kV4At) == 1) {
    return address;
  }
  return std::nullopt;
}

bool IsLoopback(const IpAddress& address) {
  if (IsMapped(address)) return address[kV4At] == 127;
  IpAddress loopback = {};
  loopback.back() = 1;
  return address == loopback;
}

bool IsPublic(const IpAddress& address) {
  if (IsMapped(address)) return IsPublicV4(V4(address, kV4At));
  // Translated by a gateway of the network (RFC 6052).
  if (Begins(address, std::array<uint8_t, 12>{0, 0x64, 0xff, 0x9b})) {
    return IsPublicV4(V4(address, kV4At));
  }
  if (Begins(address, std::array<uint8_t, 2>{0x20, 0x02})) return IsPublicV4(V4(address, 2));
  // Of 2000::/3, where all that is global comes from: without tunnels, documentation, and what
  // else is not for reaching anybody.
  const bool global = (address[0] & 0xe0) == 0x20;
  const bool special = Begins(address, std::array<uint8_t, 3>{0x20, 0x01, 0x00}) ||
                       Begins(address, std::array<uint8_t, 3>{0x20, 0x01, 0x01}) ||
                       Begins(address, std::array<uint8_t, 4>{0x20, 0x01, 0x0d, 0xb8}) ||
                       Begins(address, std::array<uint8_t, 2>{0x3f, 0xff});
  return global && !special;
}

}  // namespace merganser
