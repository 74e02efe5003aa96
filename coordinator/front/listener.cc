#include "coordinator/front/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser::front {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

// The flag and what it said.
std::string Flag(std::string_view flag, std::string_view listen) {
  return absl::StrCat(std::string(flag), " ", OneLine(listen.substr(0, 200)));
}

absl::Status Unusable(const std::string& flag, const std::string& why) {
  return absl::UnavailableError(
      absl::StrCat(flag, ": cannot be bound, found ", why,
                   "; expected a free port on an address of this machine (is another coordinator "
                   "running?)"));
}

absl::StatusOr<Addresses> Resolve(const std::string& flag, const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) return Unusable(flag, absl::StrCat("no address (", gai_strerror(code), ")"));
  return Addresses(found);
}

// errno where that fails.
int Bind(const addrinfo& address, uint16_t port, Descriptor& socket) {
  socket.Reset(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno;
  const int on = 1, off = 0;
  // A port that connections of an earlier process still linger on can be had at once. That
  // of a socket that listens cannot: there is no SO_REUSEPORT, by which two coordinators
  // would share one, and workers talk to both.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_storage where{};
  std::memcpy(&where, address.ai_addr, address.ai_addrlen);
  if (address.ai_family == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(where);
    const bool any = IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof(on));
    v6.sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(where).sin_port = htons(port);
  }
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&where), address.ai_addrlen) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0) {
    return errno;
  }
  return 0;
}

uint16_t PortOf(const Descriptor& socket) {
  sockaddr_storage where{};
  socklen_t size = sizeof(where);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&where), &size) != 0) return 0;
  return ntohs(where.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(where).sin6_port
                                           : reinterpret_cast<sockaddr_in&>(where).sin_port);
}

}  // namespace

absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view listen, std::string_view flag) {
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(Flag(flag, listen), ": found ", std::string(why),
                                                   ", expected HOST:PORT such as 0.0.0.0:7470 or "
                                                   "[::1]:7470"));
  };
  if (listen.substr(0, 5) == "unix:") return bad("a path, which is not supported");
  const size_t colon = listen.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == listen.size()) return bad("no port");
  std::string_view host = listen.substr(0, colon);
  const std::string port(listen.substr(colon + 1));
  if (port.size() > 6 || port.find_first_not_of("0123456789") != std::string::npos) {
    return bad("a port that is no number");
  }
  int number = 0;
  if (!absl::SimpleAtoi(port, &number) || number > 65535) return bad("a port above 65535");
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad("an IPv6 address without brackets, or no port");
  }
  if (host.empty()) return bad("no host");
  return ListenAddress{std::string(host), static_cast<uint16_t>(number)};
}

absl::StatusOr<Listener> Listen(std::string_view listen, std::string_view flag_name) {
  MERGANSER_ASSIGN_OR_RETURN(const ListenAddress wanted, ParseListenAddress(listen, flag_name));
  const std::string flag = Flag(flag_name, listen);
  const bool any = wanted.host == "0.0.0.0" || wanted.host == "::";
  Listener listener;
  listener.port = wanted.port;
  int failure = EADDRNOTAVAIL;
  // One socket for both families where the machine has IPv6.
  for (const std::string& host :
       any ? std::vector<std::string>{"::", "0.0.0.0"} : std::vector<std::string>{wanted.host}) {
    MERGANSER_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(flag, host, wanted.port));
    for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
      Descriptor socket;
      const int error = Bind(*at, listener.port, socket);
      if (error == 0) {
        if (listener.port == 0) listener.port = PortOf(socket);
        listener.sockets.push_back(std::move(socket));
      } else {
        failure = error;
        // An address of a family that this machine lacks is no loss if there are others;
        // one that somebody else listens at is.
        if (error == EADDRINUSE) return Unusable(flag, std::strerror(error));
      }
    }
    if (any && !listener.sockets.empty()) break;
  }
  if (listener.sockets.empty()) return Unusable(flag, std::strerror(failure));
  return listener;
}

void SetConnectionOptions(int fd) {
  const int on = 1, idle = 60, interval = 15, count = 4;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

}  // namespace merganser::front
