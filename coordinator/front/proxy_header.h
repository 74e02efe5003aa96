// What a proxy says of a connection before the client's own bytes: the PROXY protocol.
#ifndef MERGANSER_COORDINATOR_FRONT_PROXY_HEADER_H_
#define MERGANSER_COORDINATOR_FRONT_PROXY_HEADER_H_

#include <sys/socket.h>

#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser::front {

// Both ends of a connection as the side that accepted it sees them.
struct Endpoints {
  sockaddr_storage from{}, to{};
};

struct ProxyHeader {
  size_t bytes = 0;  // that it takes
  // Whose the connection is; nothing where the proxy speaks for itself, or does not know.
  std::optional<Endpoints> client;
};

// Longer ones are refused; proxies send some fifty bytes, or some hundred with extensions.
inline constexpr size_t kMaxProxyHeader = 4096;

// The header that `bytes` begin with, of version 1 (text) or 2 (binary); nothing while it is not
// whole. kInvalidArgument, in words for people, where it is none. Extensions are skipped. Pure.
absl::StatusOr<std::optional<ProxyHeader>> ParseProxyHeader(std::string_view bytes);

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_PROXY_HEADER_H_
