// What an epoll instance is asked to look at.
#ifndef MERGANSER_COORDINATOR_FRONT_WATCHED_H_
#define MERGANSER_COORDINATOR_FRONT_WATCHED_H_

#include <sys/epoll.h>

#include <cstdint>

namespace merganser {

// Has `epoll` look for `events` of `fd` from now on, and tell of them by the address of `watched`,
// whose members `fd` and `events` are kept up to date. Where nothing is wanted, nothing is watched:
// epoll would tell of hang-ups again and again.
template <typename Watched>
void WatchFor(int epoll, Watched& watched, int fd, uint32_t events) {
  watched.fd = fd;
  if (watched.events == events) return;
  epoll_event event{};
  event.events = events;
  event.data.ptr = &watched;
  const int change = watched.events == 0 ? EPOLL_CTL_ADD
                     : events == 0       ? EPOLL_CTL_DEL
                                         : EPOLL_CTL_MOD;
  ::epoll_ctl(epoll, change, fd, &event);
  watched.events = events;
}

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_FRONT_WATCHED_H_
