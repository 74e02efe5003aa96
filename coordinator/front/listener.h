// Where a server listens: from the words of --listen to sockets.
#ifndef MERGANSER_COORDINATOR_FRONT_LISTENER_H_
#define MERGANSER_COORDINATOR_FRONT_LISTENER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/front/descriptor.h"

namespace merganser::front {

struct ListenAddress {
  std::string host;  // a name or number, without brackets
  uint16_t port = 0;
};

// HOST:PORT, [IPV6]:PORT, as `flag` said it. kInvalidArgument for all else: no port, a port above
// 65535, a path (unix:).
absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view listen,
                                                 std::string_view flag = "--listen");

// Sockets that listen and do not block, one for every address of the host.
struct Listener {
  std::vector<Descriptor> sockets;
  uint16_t port = 0;  // the same for all
};

// Port 0 takes a free one. 0.0.0.0 and [::] both mean every address of the machine, IPv4
// and IPv6. No other process gets a share of the port: kUnavailable where it is taken, or
// where the address is none of this machine.
absl::StatusOr<Listener> Listen(std::string_view listen, std::string_view flag = "--listen");

// For a connection that was accepted: answers go out at once, and one whose machine is gone, which
// says nothing, ends after two minutes.
void SetConnectionOptions(int fd);

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_LISTENER_H_
