#include "coordinator/front/socket_owner.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"

namespace merganser::front {
namespace {

constexpr suseconds_t kAnswerWithinUs = 100'000;
// A line each; beyond it an answer is not worth the time.
constexpr int kMaxProcLines = 20'000;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// The address as the kernel writes it there: in its own order of bytes, 32 bits at a time.
std::string ProcAddress(const sockaddr_storage& address) {
  char text[48];
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    std::snprintf(text, sizeof(text), "%08X:%04X", v4.sin_addr.s_addr, ntohs(v4.sin_port));
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    uint32_t words[4];
    std::memcpy(words, &v6.sin6_addr, sizeof(words));
    std::snprintf(text, sizeof(text), "%08X%08X%08X%08X:%04X", words[0], words[1], words[2],
                  words[3], ntohs(v6.sin6_port));
  }
  return text;
}

std::optional<uid_t> ReadProc(const sockaddr_storage& near, const sockaddr_storage& far) {
  const bool v4 = near.ss_family == AF_INET;
  const std::unique_ptr<std::FILE, CloseFile> file(
      std::fopen(v4 ? "/proc/net/tcp" : "/proc/net/tcp6", "re"));
  if (file == nullptr) return std::nullopt;
  const std::string wanted = absl::StrCat(" ", ProcAddress(near), " ", ProcAddress(far), " ");
  char line[512];
  for (int i = 0; i < kMaxProcLines && std::fgets(line, sizeof(line), file.get()); ++i) {
    const char* at = std::strstr(line, wanted.c_str());
    unsigned uid = 0;
    // State, queues, timer, retransmits, then the user.
    if (at != nullptr && std::sscanf(at + wanted.size(), "%*s %*s %*s %*s %u", &uid) == 1) {
      return uid;
    }
  }
  return std::nullopt;
}

void SetEnd(const sockaddr_storage& address, __be32 (&to)[4], __be16& port) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    to[0] = v4.sin_addr.s_addr;
    port = v4.sin_port;
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    std::memcpy(to, &v6.sin6_addr, sizeof(to));
    port = v6.sin6_port;
  }
}

}  // namespace

sockaddr_storage Unmapped(const sockaddr_storage& address) {
  if (address.ss_family != AF_INET6) return address;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return address;
  sockaddr_storage plain{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(plain);
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port;
  std::memcpy(&v4.sin_addr, v6.sin6_addr.s6_addr + 12, sizeof(v4.sin_addr));
  return plain;
}

SocketOwners::SocketOwners()
    : netlink_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) {
  const timeval limit{0, kAnswerWithinUs};
  ::setsockopt(netlink_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

std::optional<uid_t> SocketOwners::Find(const sockaddr_storage& near, const sockaddr_storage& far) {
  const sockaddr_storage a = Unmapped(near), b = Unmapped(far);
  if (a.ss_family != b.ss_family || (a.ss_family != AF_INET && a.ss_family != AF_INET6)) {
    return std::nullopt;
  }
  if (netlink_.valid()) {
    const std::optional<uid_t> uid = Ask(a, b);
    // Where it answered, a socket that it does not know is gone: no table is read for that.
    if (netlink_.valid()) return uid;
  }
  return ReadProc(a, b);
}

std::optional<uid_t> SocketOwners::Ask(const sockaddr_storage& near, const sockaddr_storage& far) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 ask;
  } request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.ask.sdiag_family = static_cast<uint8_t>(near.ss_family);
  request.ask.sdiag_protocol = IPPROTO_TCP;
  request.ask.idiag_states = ~0u;
  request.ask.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  request.ask.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  SetEnd(near, request.ask.id.idiag_src, request.ask.id.idiag_sport);
  SetEnd(far, request.ask.id.idiag_dst, request.ask.id.idiag_dport);
  if (::send(netlink_.get(), &request, sizeof(request), 0) != sizeof(request)) {
    return std::nullopt;
  }
  alignas(nlmsghdr) char answer[4096];
  const ssize_t size = ::recv(netlink_.get(), answer, sizeof(answer), 0);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  if (size < 0 || !NLMSG_OK(header, static_cast<size_t>(size))) {
    netlink_.Reset();  // an answer that comes late would be taken for the next one's
    return std::nullopt;
  }
  if (header->nlmsg_type == NLMSG_ERROR) {
    const auto* error = reinterpret_cast<const nlmsgerr*>(NLMSG_DATA(header));
    if (error->error != -ENOENT) netlink_.Reset();  // not to be had here
    return std::nullopt;
  }
  if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY) return std::nullopt;
  const auto* socket = reinterpret_cast<const inet_diag_msg*>(NLMSG_DATA(header));
  if (socket->idiag_inode == 0) return std::nullopt;  // closed in the meantime: nobody's
  return socket->idiag_uid;
}

}  // namespace merganser::front
