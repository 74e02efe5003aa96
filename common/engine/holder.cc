#include "common/engine/holder.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/host.h"
#include "common/base/status.h"

namespace merganser {
namespace {

// What tells a process from an earlier or later one of the same pid. Any may be empty, where
// the system does not say.
struct ProcessIdentity {
  std::string boot;
  std::string start;  // empty also where there is no such process, or one that ended
  std::string space;  // in which its pid counts: containers have their own
};

ProcessIdentity IdentityOf(int64_t pid) {
  ProcessIdentity identity;
  std::ifstream boot("/proc/sys/kernel/random/boot_id");
  if (!std::getline(boot, identity.boot)) return {};
  // Of this process, also for others: the pid was looked up here.
  std::array<char, 128> space{};
  if (::readlink("/proc/self/ns/pid", space.data(), space.size() - 1) > 0) {
    identity.space = space.data();
  }
  std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
  std::string line;
  if (!std::getline(stat, line)) return identity;
  // The name, in parentheses, may hold anything; the state is the first after it, the
  // start time the 20th.
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return identity;
  std::istringstream rest(line.substr(name_end + 1));
  std::string field;
  for (int i = 0; i < 20; ++i) {
    if (!(rest >> field)) return identity;
    // One that ended and that its parent did not ask after.
    if (i == 0 && (field == "Z" || field == "X")) return identity;
  }
  identity.start = field;
  return identity;
}

// As it stands in a claim. Claims of earlier versions have no space.
ProcessIdentity ParseIdentity(const std::string& text) {
  ProcessIdentity identity;
  std::istringstream fields(text);
  fields >> identity.boot >> identity.start >> identity.space;
  return identity;
}

std::string Who(const ObjectStore& store, const ClaimRecord& claim) {
  return absl::StrCat(store.Describe(kClaimKey), ": held by job ", OneLine(claim.job));
}

// What tells the holder's beat as it is now from what it was before.
absl::StatusOr<std::string> BeatSeen(ObjectStore& store, const ClaimRecord& claim) {
  constexpr char kNone[] = "-";
  if (!IsJobUid(claim.job)) return kNone;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> beat,
                             store.Stat(BeatKey(claim.job, claim.epoch)));
  return beat.has_value() ? beat->identity : kNone;
}

int64_t Seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

}  // namespace

std::string BeatKey(std::string_view job, int64_t epoch) {
  return absl::StrCat(std::string(kWorkPrefix), std::string(job), "/beat-", epoch);
}

BeatTimes TimesOf(const ClaimRecord& claim) {
  constexpr int64_t kLongest = 60 * 1000;  // a promise of longer ones is none
  if (claim.beat_ms <= 0 || claim.beat_ms > kLongest) return {};
  return {std::chrono::milliseconds(claim.beat_ms)};
}

ClaimRecord MakeClaim(std::string_view job, int64_t epoch, const Clock& clock) {
  ClaimRecord claim;
  claim.job = job;
  claim.epoch = epoch;
  claim.started = FormatWallTime(clock.WallNow());
  claim.host = HostName();
  claim.pid = ::getpid();
  const ProcessIdentity self = IdentityOf(claim.pid);
  if (!self.boot.empty() && !self.start.empty()) {
    claim.process = absl::StrCat(self.boot, " ", self.start, " ", self.space);
  }
  return claim;
}

HolderState AskHolder(const ClaimRecord& claim) {
  const ClaimRecord self = MakeClaim(claim.job, claim.epoch, SystemClock());
  if (claim.host != self.host || claim.pid <= 0) return HolderState::kUnknown;
  const ProcessIdentity then = ParseIdentity(claim.process);
  const ProcessIdentity now = IdentityOf(claim.pid);
  // Machines may share a name, and containers their machine's.
  if (!then.boot.empty() && then.boot != now.boot) return HolderState::kUnknown;
  if (!then.space.empty() && then.space != now.space) return HolderState::kUnknown;
  if (claim.pid == self.pid) return HolderState::kGone;
  if (::kill(static_cast<pid_t>(claim.pid), 0) != 0 && errno != EPERM) return HolderState::kGone;
  return then.start.empty() || then.start == now.start ? HolderState::kRuns : HolderState::kGone;
}

absl::Status HolderWatch::MayTakeOver(ObjectStore& store, const ClaimRecord& claim) {
  switch (AskHolder(claim)) {
    case HolderState::kGone:
      return absl::OkStatus();
    case HolderState::kRuns:
      return absl::FailedPreconditionError(
          absl::StrCat(Who(store, claim), ", whose process ", claim.pid,
                       " still runs on this machine; wait for it, or end it first"));
    case HolderState::kUnknown:
      break;
  }
  const absl::StatusOr<std::string> beat = BeatSeen(store, claim);
  const BeatTimes times = TimesOf(claim);
  const MonotonicTime now = clock_.Now();
  if (!looked_) first_look_ = now;
  if (!beat.ok()) {
    looked_ = true;
    seen_.clear();  // what follows counts as a change
    return beat.status();
  }
  std::string seen = absl::StrCat(WriteClaim(claim), *beat);
  if (!looked_ || seen != seen_) {
    seen_ = std::move(seen);
    last_change_ = now;
  }
  looked_ = true;
  if (now - last_change_ >= times.still()) return absl::OkStatus();
  const bool over = now - first_look_ >= times.patience();
  std::string message =
      absl::StrCat(Who(store, claim), " (host ", OneLine(claim.host), ", pid ", claim.pid,
                   ", started ", OneLine(claim.started), "), which ",
                   over ? "still runs: its beat did not stand" : "may run: its beat must stand",
                   " still for ", Seconds(times.still()), " s");
  if (over) {
    return absl::UnavailableError(absl::StrCat(message, " within ", Seconds(times.patience()),
                                               " s; end it first, or try again later"));
  }
  return absl::AbortedError(absl::StrCat(message,
                                         " before it is taken over, and is waited for at most ",
                                         Seconds(times.patience()), " s"));
}

absl::Status MayTakeOver(ObjectStore& store, const ClaimRecord& claim, HolderWatch* watch) {
  if (watch != nullptr) return watch->MayTakeOver(store, claim);
  return HolderWatch().MayTakeOver(store, claim);
}

}  // namespace merganser
