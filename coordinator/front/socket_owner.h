// Whose the other end of a connection on loopback is.
#ifndef MERGANSER_COORDINATOR_FRONT_SOCKET_OWNER_H_
#define MERGANSER_COORDINATOR_FRONT_SOCKET_OWNER_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <optional>

#include "coordinator/front/descriptor.h"

namespace merganser::front {

// Asks the kernel (sock_diag; /proc/net/tcp where that is not allowed). Not thread-safe.
class SocketOwners {
 public:
  SocketOwners();

  // The user who made the socket of this machine that is bound to `near` and connected to
  // `far`: as accept and getsockname of the other end tell them. nullopt where nobody knows.
  std::optional<uid_t> Find(const sockaddr_storage& near, const sockaddr_storage& far);

 private:
  std::optional<uid_t> Ask(const sockaddr_storage& near, const sockaddr_storage& far);

  Descriptor netlink_;
};

// An IPv4 address that came over an IPv6 socket (::ffff:1.2.3.4) as what it is.
sockaddr_storage Unmapped(const sockaddr_storage& address);

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_SOCKET_OWNER_H_
