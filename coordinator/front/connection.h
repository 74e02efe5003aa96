// One client's connection and the socket pair that joins it to the server.
#ifndef MERGANSER_COORDINATOR_FRONT_CONNECTION_H_
#define MERGANSER_COORDINATOR_FRONT_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "coordinator/front/descriptor.h"
#include "coordinator/front/frames.h"
#include "coordinator/front/limits.h"
#include "coordinator/front/relay.h"
#include "coordinator/front/transport.h"

namespace merganser::front {

// Bytes on their way, in order; what is written leaves from the front.
class ByteQueue {
 public:
  // A side that has this much waiting is not read from.
  static constexpr size_t kFull = size_t{128} << 10;

  bool empty() const { return begin_ == bytes_.size(); }
  bool full() const { return bytes_.size() - begin_ >= kFull; }
  std::string_view view() const { return std::string_view(bytes_).substr(begin_); }
  void Append(std::string_view bytes) { bytes_.append(bytes); }
  std::string& end() { return bytes_; }  // to append to
  void Drop(size_t count);

 private:
  std::string bytes_;
  size_t begin_ = 0;
};

// What became of a client that has greeted.
struct Joined {
  Descriptor server;     // one end of a socket pair whose other end is the server's
  std::string_view why;  // no server at all: words for people
};

// Passes bytes on, never more than a bounded number of them at a time: a side that does not
// read is a side that is not read for. Not thread-safe; nothing blocks.
class Connection {
 public:
  enum class State : uint8_t {
    kGreeting,  // the client has not said yet what it speaks: no server
    kOpen,
    kFarewell,  // what is left is written, and the client's end waited for
    kDone,
  };
  using Join = std::function<Joined(MonotonicTime)>;
  // Asked when the client begins to speak, before that costs anything: when it may.
  using Turn = std::function<MonotonicTime(MonotonicTime)>;

  // `transport` is over `client`, and within TLS or not: who speaks the other is turned away.
  Connection(Descriptor client, std::unique_ptr<Transport> transport, bool tls,
             const Limits& limits, Relay relay, Turn turn, Join join, MonotonicTime now);

  // Does what can be done at once. To be called when a descriptor is ready in a way that
  // Wanted asks for, and when it is time.
  void Step(MonotonicTime now);
  // Tells the client, if it can be told, and ends.
  void SendAway(Http2Error error, std::string_view why, MonotonicTime now);

  State state() const { return state_; }
  int client_fd() const { return client_.get(); }
  int server_fd() const { return server_.get(); }  // -1 while there is none
  // EPOLLIN, EPOLLOUT; EPOLLRDHUP while the client is not read from, who may leave.
  uint32_t WantedOfClient() const;
  uint32_t WantedOfServer() const;
  // When to call Step though nothing is ready.
  MonotonicTime NextTime() const;
  // Whether nobody would miss it, as far as is known: no call is in progress.
  bool idle() const { return state_ == State::kOpen && relay_.calls() == 0; }
  // Whether the client has shown a token.
  bool known() const { return relay_.known(); }
  // When the client last said something.
  MonotonicTime heard() const { return heard_; }
  // Why the client was sent away, or nothing.
  std::string_view why() const { return why_; }
  // To be called now and then: most connections are idle most of the time, and hold no memory.
  void Tidy(MonotonicTime now);
  void Close(MonotonicTime now);

 private:
  MonotonicTime Deadline() const;
  // Each returns whether there may be more to do.
  bool ReadClient(MonotonicTime now);
  bool ReadServer(MonotonicTime now);
  bool Begin(MonotonicTime now);
  bool WriteClient();
  bool WriteServer();
  void Greet(MonotonicTime now);
  // Passes on to the server what the client may say.
  void PassOn(MonotonicTime now);
  // Writes what waits, and no more.
  void Farewell(Duration patience, MonotonicTime now);

  const Limits& limits_;
  Relay relay_;
  const Turn turn_;
  const Join join_;
  const bool tls_;
  State state_ = State::kGreeting;
  Descriptor client_, server_;
  std::unique_ptr<Transport> transport_;  // goes before client_
  bool begun_ = false;                    // the client to speak
  bool busy_ = false;                     // there is more to do, of which no descriptor tells
  ByteQueue said_;                        // by the client, and not passed on yet
  ByteQueue up_, down_;
  bool waits_ = false;  // what was said is passed on at again_
  MonotonicTime again_;
  bool told_ = false;    // nothing more is written to the client
  size_t ignored_ = 0;   // bytes read after the end
  MonotonicTime due_;    // the end of the present state
  MonotonicTime moved_;  // when what waits for the client last became less
  MonotonicTime heard_;
  std::string_view why_;
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_CONNECTION_H_
