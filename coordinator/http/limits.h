// How much of a process clients of its HTTP server may take. Plain data.
#ifndef MERGANSER_COORDINATOR_HTTP_LIMITS_H_
#define MERGANSER_COORDINATOR_HTTP_LIMITS_H_

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "common/base/clock.h"
#include "coordinator/front/bucket.h"

namespace merganser::http {

struct Limits {
  // Connections, of all peers and of one (front/peer.h). When there are as many, the one that is
  // missed least goes: first those that have not said what they want.
  size_t connections = 512;
  size_t connections_of_peer = 384;
  // New ones of a peer over TLS, where each costs a handshake; those beyond are closed.
  front::Rate handshakes_of_peer{200, 100};
  // From the first byte that may come, or the end of the answer before, to the end of the headers.
  Duration headers = std::chrono::seconds(20);
  // From there to the end of the body.
  Duration body = std::chrono::seconds(60);
  // A connection on which nothing moves.
  Duration idle = std::chrono::seconds(30);
  // An answer has this long, and a second for every 16 KiB of it.
  Duration reply = std::chrono::seconds(30);
  // The request line and headers must fit into half of it; a connection has one.
  size_t memory_of_connection = size_t{32} << 10;
  size_t headers_of_request = 64;
  // Bodies that are held at a time, all together.
  size_t bodies = size_t{64} << 20;
  // Threads that answer what is quick, what may be slow, and what is large; and how many requests
  // may wait for each kind, more than may be under way by anybody's seats. Those beyond are refused
  // (503).
  size_t quick_threads = 2, slow_threads = 8, large_threads = 2;
  size_t waiting = 128;
  // A stream that says nothing for so long says a comment, so that proxies and clients know that it
  // lives.
  Duration comment = std::chrono::seconds(15);
};

// For a process that may have so many descriptors, of which others take most.
inline Limits LimitsFor(size_t descriptors) {
  Limits limits;
  limits.connections = std::clamp<size_t>(descriptors / 10, 24, 1024);
  limits.connections_of_peer = limits.connections * 3 / 4;
  return limits;
}

// Descriptors that a server with these limits takes at most: over TLS a connection takes three.
inline size_t DescriptorsOf(const Limits& limits, bool tls) {
  return limits.connections * (tls ? 3 : 1) + 16;
}

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_LIMITS_H_
