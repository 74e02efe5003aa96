// Where connections of a proxy wait until it has said whose they are.
#ifndef MERGANSER_COORDINATOR_FRONT_DOORSTEP_H_
#define MERGANSER_COORDINATOR_FRONT_DOORSTEP_H_

#include <cstddef>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "coordinator/front/descriptor.h"
#include "coordinator/front/proxy_header.h"

namespace merganser::front {

// Reads a PROXY header, and not a byte more, from every connection. Each takes a descriptor and a
// header's bytes. Not thread-safe; nothing blocks. What is called back leaves it alone.
class Doorstep {
 public:
  // The client's bytes are next. `ends` are the header's, or the connection's own where the proxy
  // speaks for itself.
  using Enter = std::function<void(Descriptor, const Endpoints& ends)>;
  // `proxy` is whose connection ended without a header.
  using TurnedAway = std::function<void(std::string_view why, const Endpoints& proxy)>;

  // What whoever came past the proxy is sent, in the port's own protocol.
  using Farewell = std::function<std::string(std::string_view why)>;

  Doorstep(Enter enter, TurnedAway turned_away, Farewell farewell = GoAway)
      : enter_(std::move(enter)),
        turned_away_(std::move(turned_away)),
        farewell_(std::move(farewell)) {}

  // A frame of HTTP/2: without SETTINGS before it clients of gRPC give up at once.
  static std::string GoAway(std::string_view why);

  absl::Status Open();
  // Becomes readable when it is time for Turn; -1 before Open.
  int fd() const { return epoll_.get(); }
  size_t size() const { return guests_.size(); }

  // `due` is when it ends without a header; of those that wait, none is due later.
  void Add(Descriptor client, const Endpoints& ends, MonotonicTime due);
  void Turn();
  // Ends those that are due.
  void Expire(MonotonicTime now);
  // Precondition: somebody waits.
  void DropOldest() { guests_.pop_front(); }
  void Clear() { guests_.clear(); }

 private:
  struct Guest {
    Descriptor client;
    Endpoints ends;
    MonotonicTime due;
    std::string said;  // of the header
    std::list<Guest>::iterator place;
  };
  void Step(Guest& guest);
  void SendAway(Guest& guest, std::string_view why);

  const Enter enter_;
  const TurnedAway turned_away_;
  const Farewell farewell_;
  Descriptor epoll_;
  std::list<Guest> guests_;  // the oldest first
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_DOORSTEP_H_
