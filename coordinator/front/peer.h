// Who is at the other end of a connection, as far as limits are concerned.
#ifndef MERGANSER_COORDINATOR_FRONT_PEER_H_
#define MERGANSER_COORDINATOR_FRONT_PEER_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace merganser::front {

// What one machine can make any number of connections from is one peer: an IPv4 address,
// the first 64 bits of an IPv6 address, and on loopback, which is everybody's, a user.
struct PeerKey {
  enum class Kind : uint8_t { kOther, kIpv4, kIpv6, kUser };
  Kind kind = Kind::kOther;
  uint64_t number = 0;

  auto operator<=>(const PeerKey&) const = default;
};

// Whether who is seen as `peer` by a socket of address `own` is on this machine: on
// loopback, or at the same address.
bool IsSameHost(const sockaddr_storage& peer, const sockaddr_storage& own);

// `user` is the other end's, where it is on this machine and known. Pure.
PeerKey KeyOf(const sockaddr_storage& peer, std::optional<uid_t> user);

// "10.0.0.7", "2001:db8:0:1::/64", "user 1000", "unknown".
std::string PeerText(const PeerKey& key);

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_PEER_H_
