// Carries one client's bytes between TLS and a plain socket.
#ifndef MERGANSER_COORDINATOR_HTTP_TLS_PUMP_H_
#define MERGANSER_COORDINATOR_HTTP_TLS_PUMP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "coordinator/front/descriptor.h"
#include "coordinator/front/transport.h"

namespace merganser::http {

// Holds a bounded number of bytes each way; nothing blocks. Not thread-safe.
class TlsPump {
 public:
  // `transport` is over `client`; `inner` is one end of a socket pair whose other end serves.
  TlsPump(front::Descriptor client, std::unique_ptr<front::Transport> transport,
          front::Descriptor inner);

  // Moves what can be moved. False where the connection is over.
  bool Step();

  // Precondition of what follows but this: it was not closed.
  void Close() {
    transport_.reset();
    client_.Reset();
    inner_.Reset();
  }

  // Whether the server has said all, and the client has not taken it yet.
  bool only_delivers() const { return answered_all_; }

  int client_fd() const { return client_.get(); }
  int inner_fd() const { return inner_.get(); }
  // EPOLLIN, EPOLLOUT.
  uint32_t WantedOfClient() const;
  uint32_t WantedOfInner() const;

 private:
  static constexpr size_t kMost = size_t{32} << 10;

  front::Descriptor client_, inner_;
  std::unique_ptr<front::Transport> transport_;  // goes before client_
  std::string up_, down_;                        // to the server, to the client
  bool said_all_ = false;                        // the client
  bool told_ = false;                            // that it did, to the server
  bool answered_all_ = false;                    // the server
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_TLS_PUMP_H_
