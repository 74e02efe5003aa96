// Whether somebody accepts connections at a port.
#ifndef MERGANSER_COORDINATOR_FRONT_PROBE_H_
#define MERGANSER_COORDINATOR_FRONT_PROBE_H_

#include <sys/socket.h>

#include "absl/status/status.h"
#include "common/base/clock.h"

namespace merganser::front {

// Connects as a client that leaves without a word, and waits for the other side to end the
// connection. `bound` is what a socket of this process is bound to; one that stands for all
// addresses is probed on loopback. kUnavailable where nobody answers within `patience`; OK where
// this side lacks what it takes to ask. Blocks.
absl::Status Probe(const sockaddr_storage& bound, Duration patience);

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_PROBE_H_
