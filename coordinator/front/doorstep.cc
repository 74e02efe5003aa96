#include "coordinator/front/doorstep.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <iterator>
#include <optional>
#include <utility>

#include "common/base/status.h"
#include "coordinator/front/frames.h"

namespace merganser::front {

absl::Status Doorstep::Open() {
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  return epoll_.valid() ? absl::OkStatus() : ErrnoStatus(errno, "wait for PROXY headers");
}

void Doorstep::Add(Descriptor client, const Endpoints& ends, MonotonicTime due) {
  Guest& guest = guests_.emplace_back();
  guest.client = std::move(client);
  guest.ends = ends;
  guest.due = due;
  guest.place = std::prev(guests_.end());
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &guest;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, guest.client.get(), &event) != 0) {
    guests_.pop_back();
    return;
  }
  Step(guest);  // proxies send it with the first packet
}

void Doorstep::Turn() {
  std::array<epoll_event, 64> events;
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), /*timeout=*/0);
  for (int i = 0; i < count; ++i) Step(*static_cast<Guest*>(events[i].data.ptr));
}

void Doorstep::Step(Guest& guest) {
  std::array<char, kMaxProxyHeader> block;
  const int fd = guest.client.get();
  const ssize_t seen = ::recv(fd, block.data(), block.size(), MSG_PEEK);
  if (seen < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (seen <= 0) {  // gone without a word, as who only looks whether the port answers
    guests_.erase(guest.place);
    return;
  }
  const size_t before = guest.said.size();
  guest.said.append(block.data(), static_cast<size_t>(seen));
  const absl::StatusOr<std::optional<ProxyHeader>> header = ParseProxyHeader(guest.said);
  // What follows the header is the client's: left where it is.
  const bool whole = header.ok() && header->has_value();
  const size_t used = whole ? (**header).bytes - before : static_cast<size_t>(seen);
  if (::recv(fd, block.data(), used, 0) != static_cast<ssize_t>(used)) {
    guests_.erase(guest.place);
    return;
  }
  if (!header.ok()) return SendAway(guest, std::string(header.status().message()));
  if (!whole) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  Descriptor client = std::move(guest.client);
  const Endpoints ends = (**header).client.value_or(guest.ends);
  guests_.erase(guest.place);
  enter_(std::move(client), ends);
}

std::string Doorstep::GoAway(std::string_view why) {
  return GoAwayFrame(Http2Error::kProtocol, why);
}

void Doorstep::SendAway(Guest& guest, std::string_view why) {
  turned_away_(why, guest.ends);
  const std::string answer = farewell_(why);
  ::send(guest.client.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  guests_.erase(guest.place);
}

void Doorstep::Expire(MonotonicTime now) {
  while (!guests_.empty() && guests_.front().due <= now) {
    turned_away_("no PROXY header came in time", guests_.front().ends);
    guests_.pop_front();
  }
}

}  // namespace merganser::front
