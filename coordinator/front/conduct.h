// What a client may do to the server behind, counted.
#ifndef MERGANSER_COORDINATOR_FRONT_CONDUCT_H_
#define MERGANSER_COORDINATOR_FRONT_CONDUCT_H_

#include <cstddef>
#include <cstdint>

#include "common/base/clock.h"
#include "coordinator/front/admission.h"
#include "coordinator/front/bucket.h"
#include "coordinator/front/limits.h"

namespace merganser::front {

// What connections of one peer, or all connections, have left together.
struct Shared {
  struct Calls {
    Bucket opened, resets;
    size_t streams = 0;  // that are open
  };
  Calls strangers, known;

  static Shared OfPeer(const FrameLimits& limits);
  static Shared OfAll(const FrameLimits& limits);
  // Nothing is missing that time would bring back.
  bool Full(MonotonicTime now);
};

// Of one connection. Not thread-safe.
class Conduct {
 public:
  enum class Verdict : uint8_t { kPass, kWait, kEnd };

  // All must outlive this.
  Conduct(const FrameLimits& limits, Shared& peer, Shared& all);

  const FrameLimits& limits() const { return limits_; }

  // A stream more that the server is to see, or, `refused`, that is answered at once. kWait:
  // not before `again`.
  Verdict Open(Caller caller, bool refused, MonotonicTime now, MonotonicTime& again);
  // It ended, as streams do. What somebody with a token opens one after the other is no flood,
  // and is not slowed down.
  void End(Caller caller);
  // It is given up by the client, which goes on: false where that was once too often.
  bool Reset(Caller caller, MonotonicTime now);
  // It is left open by a client that goes.
  void Leave(Caller caller, MonotonicTime now);

  bool Control(MonotonicTime now) { return controls_.Take(1, now); }
  bool Empty(MonotonicTime now) { return empties_.Take(1, now); }
  bool Swallow(size_t bytes, MonotonicTime now) {
    return swallowed_.Take(static_cast<double>(bytes), now);
  }

 private:
  struct Own {
    Own(const CallLimits& limits_in, Shared::Calls& peer_in, Shared::Calls& all_in)
        : limits(limits_in),
          peer(peer_in),
          all(all_in),
          opened_own(limits_in.opened_own),
          opened(limits_in.opened),
          resets_own(limits_in.resets_own),
          resets(limits_in.resets) {}
    const CallLimits& limits;
    Shared::Calls& peer;
    Shared::Calls& all;
    Bucket opened_own, opened, resets_own, resets;
    size_t streams = 0;
  };
  static void Close(Own& own);
  Own& Of(Caller caller) { return caller == Caller::kStranger ? strangers_ : known_; }

  const FrameLimits& limits_;
  Own strangers_, known_;
  Bucket controls_, empties_, swallowed_;
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_CONDUCT_H_
