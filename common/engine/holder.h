// Whether a claim may be taken over: what is known of the process that holds it.
//
// Of a process on this machine the system is asked. Of any other, and on storage that no machine
// owns, its beat tells: `.merganser/JOB-UID/beat-EPOCH`, a counter that the holder puts again and
// again (beat.h). Whoever would take over watches it, and measures by its own monotonic clock how
// long it stands still: no two machines' clocks are compared.
#ifndef MERGANSER_COMMON_ENGINE_HOLDER_H_
#define MERGANSER_COMMON_ENGINE_HOLDER_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/engine/claim.h"
#include "common/storage/object_store.h"

namespace merganser {

// By what the holder promised in its claim. `still` must be some periods long, and longer than
// what one host's storage may hide of another's changes (attribute caches of NFS: 30 s by default
// for a folder that changes).
struct BeatTimes {
  Duration period = std::chrono::seconds(10);       // between two beats
  Duration still() const { return 6 * period; }     // after which the holder counts as gone
  Duration patience() const { return 9 * period; }  // for which whoever would take over waits
};
BeatTimes TimesOf(const ClaimRecord& claim);

std::string BeatKey(std::string_view job, int64_t epoch);

// A claim by this process.
ClaimRecord MakeClaim(std::string_view job, int64_t epoch, const Clock& clock);

enum class HolderState {
  kRuns,
  kGone,     // also where it is this process: one of its own jobs, which it gave up
  kUnknown,  // of another machine, of another boot of this one, or out of this container's sight
};
HolderState AskHolder(const ClaimRecord& claim);

// Watches the holder of one output's claim. Used again and again, about every second, while it
// says kAborted. Not thread-safe.
class HolderWatch {
 public:
  explicit HolderWatch(const Clock& clock = SystemClock()) : clock_(clock) {}

  // OK: the claim may be taken over.
  // kFailedPrecondition: its process runs on this machine.
  // kAborted: it may run elsewhere; its beat is to be watched longer.
  // kUnavailable: the same, and the patience is over; storage that does not answer tells nothing
  // of the holder, and is kUnavailable too.
  absl::Status MayTakeOver(ObjectStore& store, const ClaimRecord& claim);

 private:
  const Clock& clock_;
  bool looked_ = false;
  MonotonicTime first_look_;
  MonotonicTime last_change_;
  std::string seen_;  // whose beat, and which
};

// By `watch`; without one, by one look.
absl::Status MayTakeOver(ObjectStore& store, const ClaimRecord& claim, HolderWatch* watch);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_HOLDER_H_
