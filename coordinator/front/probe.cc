#include "coordinator/front/probe.h"

#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "coordinator/front/descriptor.h"

namespace merganser::front {
namespace {

sockaddr_storage Reachable(sockaddr_storage address) {
  if (address.ss_family == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) v6.sin6_addr = in6addr_loopback;
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    if (v4.sin_addr.s_addr == htonl(INADDR_ANY)) v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  return address;
}

// Whether `events` came before `end`.
bool Await(const Descriptor& socket, short events, MonotonicTime end) {
  while (true) {
    const Duration left = end - std::chrono::steady_clock::now();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
    pollfd ready{socket.get(), events, 0};
    const int count = ::poll(&ready, 1, static_cast<int>(std::max<int64_t>(0, ms)));
    if (count > 0) return true;
    if (count == 0 || errno != EINTR) return false;
  }
}

}  // namespace

absl::Status Probe(const sockaddr_storage& bound, Duration patience) {
  const MonotonicTime end = std::chrono::steady_clock::now() + patience;
  const sockaddr_storage address = Reachable(bound);
  const socklen_t size = address.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  const Descriptor socket(
      ::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return absl::OkStatus();
  const auto failed = [](int error) {
    return absl::UnavailableError(absl::StrCat("its own port: ", std::strerror(error)));
  };
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    if (errno == EADDRNOTAVAIL || errno == ENOBUFS) return absl::OkStatus();
    if (errno != EINPROGRESS) return failed(errno);
    if (!Await(socket, POLLOUT, end)) return failed(ETIMEDOUT);
    int error = 0;
    socklen_t length = sizeof(error);
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return failed(error);
  }
  ::shutdown(socket.get(), SHUT_WR);
  return Await(socket, POLLIN, end) ? absl::OkStatus() : failed(ETIMEDOUT);
}

}  // namespace merganser::front
