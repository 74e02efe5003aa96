// How much of a coordinator its clients may take. Plain data.
#ifndef MERGANSER_COORDINATOR_FRONT_LIMITS_H_
#define MERGANSER_COORDINATOR_FRONT_LIMITS_H_

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "common/base/clock.h"
#include "coordinator/front/bucket.h"

namespace merganser::front {

// What one connection may do, and all connections of a peer, or of everybody, together.
// libgrpc 1.51 takes work from a connection as fast as it comes and holds some 15 KB for
// every stream that is opened and reset before its turn: this is what bounds that.
struct FrameLimits {
  // Streams opened: who opens more is read from more slowly. The first few of every
  // connection are nobody else's affair, so that who shares an address with a flood is served.
  Rate opened_own{8, 4};
  Rate opened{1000, 1000};
  Rate opened_of_peer{4000, 4000};
  Rate opened_of_all{8000, 8000};
  // The rest ends the connection. Streams that the client resets, or leaves open when it goes.
  Rate resets_own{16, 1};
  Rate resets{300, 20};
  Rate resets_of_peer{2000, 200};
  Rate resets_of_all{6000, 600};
  // SETTINGS, PING, PRIORITY, GOAWAY and unknown frames.
  Rate controls{500, 100};
  // DATA and HEADERS that hold nothing and end nothing.
  Rate empties{500, 50};
  // Streams at a time. The server tells its clients of a somewhat lower number than one may
  // have, which they know from their second call on.
  size_t streams = 320;
  size_t streams_of_peer = 2048;
  size_t streams_of_all = 3072;
  // Bytes of one request's HEADERS and CONTINUATION frames.
  size_t header_block = size_t{64} << 10;
};

struct Limits {
  // Connections that are served, of all peers and of one. Each takes three descriptors: its
  // own and both ends of the socket pair to the server.
  size_t connections = 4096;
  size_t connections_of_peer = 3072;
  // New ones of a peer that are served; beyond it they wait for their turn.
  Rate joins_of_peer{300, 50};
  // Connections that have not said yet that they speak HTTP/2; each takes one descriptor.
  // Beyond this the oldest of the peer that has most of them goes.
  size_t pending = 512;
  // How long they have for it.
  Duration greeting = std::chrono::seconds(15);
  // How long a client may leave what it is sent unread.
  Duration stalled = std::chrono::seconds(60);
  // How long a client that is sent away has to read why.
  Duration farewell = std::chrono::seconds(1);
  FrameLimits frames;
};

// For a process that may have so many descriptors; some are left to the rest of it.
inline Limits LimitsFor(size_t descriptors) {
  Limits limits;
  const size_t others = std::min<size_t>(256, descriptors / 3);
  const size_t ours = descriptors - others;
  limits.pending = std::clamp<size_t>(ours / 6, 16, 512);
  limits.connections = std::clamp<size_t>((ours - std::min(ours, limits.pending)) / 3, 16, 8192);
  limits.connections_of_peer = limits.connections * 3 / 4;
  return limits;
}

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_LIMITS_H_
