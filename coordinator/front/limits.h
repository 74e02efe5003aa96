// How much of a coordinator its clients may take. Plain data.
#ifndef MERGANSER_COORDINATOR_FRONT_LIMITS_H_
#define MERGANSER_COORDINATOR_FRONT_LIMITS_H_

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "common/base/clock.h"
#include "coordinator/front/bucket.h"

namespace merganser::front {

// What the calls of one kind of caller may do: on one connection, and on all connections of a
// peer, or of everybody, together. libgrpc 1.51 takes work from a connection as fast as it
// comes and holds some 15 KB for every stream that is opened and reset before its turn: this
// is what bounds that.
struct CallLimits {
  // Streams opened: who opens more is read from more slowly. The first few of every
  // connection are nobody else's affair, so that who shares an address with a flood is served.
  Rate opened_own, opened, opened_of_peer, opened_of_all;
  // Streams that the client resets, or leaves open when it goes: ends the connection.
  Rate resets_own, resets, resets_of_peer, resets_of_all;
  // Streams at a time. The server tells its clients of a somewhat lower number than one may
  // have, which they know from their second call on.
  size_t streams, streams_of_peer, streams_of_all;
};

struct FrameLimits {
  // Of which health alone has something to say to them; it has seats for 64 who watch.
  CallLimits strangers{{4, 2}, {500, 300}, {1000, 500}, {2000, 1000},  //
                       {4, 1}, {50, 10},   {200, 50},   {1000, 200},   //
                       80,     256,        512};
  // Who has shown a token. What is opened at once stays below the server's threads: one too many
  // and it refuses calls of others.
  CallLimits known{{16, 16}, {150, 500}, {150, 1000}, {200, 3000},  //
                   {8, 1},   {300, 20},  {600, 50},   {3000, 300},  //
                   320,      2048,       3072};
  // Bytes of one message.
  size_t message_of_stranger = size_t{16} << 10;
  size_t message_of_user = size_t{9} << 18;  // 2.25 MiB
  size_t message_of_worker = size_t{64} << 20;
  // The rest ends the connection. SETTINGS, PING, PRIORITY, GOAWAY and unknown frames.
  Rate controls{500, 100};
  // DATA and HEADERS that hold nothing and end nothing.
  Rate empties{500, 50};
  // Bytes sent to calls that are over.
  Rate swallowed{64 << 20, 8 << 20};
  // Bytes of one request's HEADERS and CONTINUATION frames, and of what they say.
  size_t header_block = size_t{64} << 10;
};

struct Limits {
  // Connections that are served, of all peers and of one. Each takes three descriptors: its
  // own and both ends of the socket pair to the server.
  size_t connections = 4096;
  size_t connections_of_peer = 3072;
  // New ones of a peer that are served; beyond it they wait for their turn.
  Rate joins_of_peer{150, 100};
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
