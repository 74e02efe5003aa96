// A client's bytes: as they come over a socket, or out of TLS.
#ifndef MERGANSER_COORDINATOR_FRONT_TRANSPORT_H_
#define MERGANSER_COORDINATOR_FRONT_TRANSPORT_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "coordinator/front/descriptor.h"

namespace merganser::front {

// Nothing blocks. Not thread-safe.
class Transport {
 public:
  virtual ~Transport() = default;

  // How many bytes were read, or written; 0 where that has to wait; nothing where it is over.
  virtual std::optional<size_t> Read(char* to, size_t count) = 0;
  virtual std::optional<size_t> Write(std::string_view bytes) = 0;
  // Nothing more is going to be written.
  virtual void Finish() = 0;
  // Whether bytes can be read that the descriptor knows nothing of any more.
  virtual bool HoldsBytes() const { return false; }
  // Whether it waits for the descriptor to take bytes, whatever is to be done.
  virtual bool WaitsToWrite() const { return false; }
};

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(int fd) : fd_(fd) {}

  std::optional<size_t> Read(char* to, size_t count) override {
    const ssize_t done = ::recv(fd_, to, count, 0);
    if (done > 0) return static_cast<size_t>(done);
    return done < 0 && Transient() ? std::optional<size_t>(0) : std::nullopt;
  }
  std::optional<size_t> Write(std::string_view bytes) override {
    const ssize_t done = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (done >= 0) return static_cast<size_t>(done);
    return Transient() ? std::optional<size_t>(0) : std::nullopt;
  }
  void Finish() override { ::shutdown(fd_, SHUT_WR); }

 private:
  static bool Transient() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

  const int fd_;
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_TRANSPORT_H_
