#include "coordinator/front/peer.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "coordinator/front/socket_owner.h"

namespace merganser::front {

bool IsSameHost(const sockaddr_storage& peer, const sockaddr_storage& own) {
  const sockaddr_storage a = Unmapped(peer), b = Unmapped(own);
  if (a.ss_family != b.ss_family) return false;
  if (a.ss_family == AF_INET) {
    const uint32_t from = reinterpret_cast<const sockaddr_in&>(a).sin_addr.s_addr;
    return ntohl(from) >> 24 == 127 ||
           from == reinterpret_cast<const sockaddr_in&>(b).sin_addr.s_addr;
  }
  return a.ss_family == AF_INET6 &&
         IN6_ARE_ADDR_EQUAL(&reinterpret_cast<const sockaddr_in6&>(a).sin6_addr,
                            &reinterpret_cast<const sockaddr_in6&>(b).sin6_addr);
}

PeerKey KeyOf(const sockaddr_storage& peer, std::optional<uid_t> user) {
  if (user.has_value()) return {PeerKey::Kind::kUser, *user};
  const sockaddr_storage plain = Unmapped(peer);
  if (plain.ss_family == AF_INET) {
    return {PeerKey::Kind::kIpv4,
            ntohl(reinterpret_cast<const sockaddr_in&>(plain).sin_addr.s_addr)};
  }
  if (plain.ss_family != AF_INET6) return {};
  uint64_t network;
  std::memcpy(&network, &reinterpret_cast<const sockaddr_in6&>(plain).sin6_addr, sizeof(network));
  return {PeerKey::Kind::kIpv6, be64toh(network)};
}

std::string PeerText(const PeerKey& key) {
  char text[INET6_ADDRSTRLEN] = "";
  switch (key.kind) {
    case PeerKey::Kind::kUser:
      return absl::StrCat("user ", key.number);
    case PeerKey::Kind::kIpv4: {
      const in_addr address{htonl(static_cast<uint32_t>(key.number))};
      ::inet_ntop(AF_INET, &address, text, sizeof(text));
      return text;
    }
    case PeerKey::Kind::kIpv6: {
      in6_addr address{};
      const uint64_t network = htobe64(key.number);
      std::memcpy(&address, &network, sizeof(network));
      ::inet_ntop(AF_INET6, &address, text, sizeof(text));
      return absl::StrCat(text, "/64");
    }
    case PeerKey::Kind::kOther:
      break;
  }
  return "unknown";
}

}  // namespace merganser::front
