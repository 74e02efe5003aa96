#include "coordinator/front/conduct.h"

#include <algorithm>

namespace merganser::front {

Shared Shared::OfPeer(const FrameLimits& limits) {
  const auto calls = [](const CallLimits& of) {
    return Calls{Bucket(of.opened_of_peer), Bucket(of.resets_of_peer)};
  };
  return {calls(limits.strangers), calls(limits.known)};
}

Shared Shared::OfAll(const FrameLimits& limits) {
  const auto calls = [](const CallLimits& of) {
    return Calls{Bucket(of.opened_of_all), Bucket(of.resets_of_all)};
  };
  return {calls(limits.strangers), calls(limits.known)};
}

bool Shared::Full(MonotonicTime now) {
  return strangers.opened.Full(now) && strangers.resets.Full(now) && known.opened.Full(now) &&
         known.resets.Full(now);
}

Conduct::Conduct(const FrameLimits& limits, Shared& peer, Shared& all)
    : limits_(limits),
      strangers_(limits.strangers, peer.strangers, all.strangers),
      known_(limits.known, peer.known, all.known),
      controls_(limits.controls),
      empties_(limits.empties),
      swallowed_(limits.swallowed) {}

Conduct::Verdict Conduct::Open(Caller caller, bool refused, MonotonicTime now,
                               MonotonicTime& again) {
  Own& own = Of(caller);
  if (!refused &&
      (own.streams >= own.limits.streams || own.peer.streams >= own.limits.streams_of_peer ||
       own.all.streams >= own.limits.streams_of_all)) {
    return Verdict::kEnd;
  }
  if (!own.opened_own.Take(1, now)) {
    again = std::max(
        {own.opened.When(1, now), own.peer.opened.When(1, now), own.all.opened.When(1, now)});
    // Who lately left behind what he had begun begins nothing more for a while.
    if (!refused) {
      again = std::max({again, own.peer.resets.When(1, now), own.all.resets.When(1, now)});
    }
    if (again > now) return Verdict::kWait;
    for (Bucket* bucket : {&own.opened, &own.peer.opened, &own.all.opened}) {
      bucket->Charge(1, now);
    }
  }
  if (!refused) {
    for (size_t* streams : {&own.streams, &own.peer.streams, &own.all.streams}) ++*streams;
  }
  return Verdict::kPass;
}

void Conduct::Close(Own& own) {
  for (size_t* streams : {&own.streams, &own.peer.streams, &own.all.streams}) --*streams;
}

void Conduct::End(Caller caller) {
  Own& own = Of(caller);
  Close(own);
  if (caller == Caller::kStranger) return;
  for (Bucket* bucket : {&own.opened_own, &own.opened, &own.peer.opened, &own.all.opened}) {
    bucket->Refund(1);
  }
}

bool Conduct::Reset(Caller caller, MonotonicTime now) {
  Own& own = Of(caller);
  Close(own);
  if (own.resets_own.Take(1, now)) return true;
  const bool fine =
      own.resets.Has(1, now) && own.peer.resets.Has(1, now) && own.all.resets.Has(1, now);
  for (Bucket* bucket : {&own.resets, &own.peer.resets, &own.all.resets}) bucket->Charge(1, now);
  return fine;
}

void Conduct::Leave(Caller caller, MonotonicTime now) {
  Own& own = Of(caller);
  Close(own);
  for (Bucket* bucket : {&own.peer.resets, &own.all.resets}) bucket->Charge(1, now);
}

}  // namespace merganser::front
