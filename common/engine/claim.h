// Who may write one output: `.merganser/claim` is created exclusively, and names the job. Whoever
// takes it over has a higher epoch, which what he writes beside it carries (working_folder.h).
#ifndef MERGANSER_COMMON_ENGINE_CLAIM_H_
#define MERGANSER_COMMON_ENGINE_CLAIM_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/object_store.h"

namespace merganser {

inline constexpr std::string_view kWorkPrefix = ".merganser/";
inline constexpr std::string_view kClaimKey = ".merganser/claim";

struct ClaimRecord {
  std::string job;  // its UID
  int64_t epoch = 1;
  std::string started;  // RFC 3339, UTC
  std::string host;
  int64_t pid = 0;
  // Boot, start time and pid namespace: tell the process from others of its pid. Empty
  // where the system does not say.
  std::string process;
  int64_t beat_ms = 10000;  // the holder's promise: between two beats (beat.h)
  std::string text;         // as it was read; empty in one that was made
};

// Lower-case letters, digits and '-', at most 64: safe in keys and file names.
bool IsJobUid(std::string_view uid);

// With what the uids of `merge` and `merganser-mpi` begin. They record what they did in the
// output (progress_log.h); a coordinator's jobs are on record in its journal alone.
inline constexpr std::string_view kMergeRunPrefix = "merge-";

// kFailedPrecondition where `claim` is of a coordinator's job and nothing in the output says how
// far that came: only that coordinator can go on with it. `recorded`: what reading the progress
// log of claim.job gave.
absl::Status RefuseCoordinatorsJob(ObjectStore& store, const ClaimRecord& claim,
                                   const absl::Status& recorded);

std::string WriteClaim(const ClaimRecord& claim);
// kDataLoss when `text` is no claim.
absl::StatusOr<ClaimRecord> ParseClaim(std::string_view text);

inline constexpr uint64_t kMaxClaimBytes = 64 << 10;

// Creates the claim and returns its text, by which it is held from now on.
// kFailedPrecondition naming job, start, host and pid when there is one already.
// With `in_place_of`, the text of a claim that may be taken over, that one is removed
// first, and another in its place is kAborted: whose it is must be looked at anew. On
// failure no claim of ours stays behind.
absl::StatusOr<std::string> TakeClaim(ObjectStore& store, const ClaimRecord& claim,
                                      const std::optional<std::string>& in_place_of);

// The text of the claim; nullopt when there is none. What is too long for a claim is none of ours
// and has the empty text, which ParseClaim refuses.
absl::StatusOr<std::optional<std::string>> ReadClaimText(ObjectStore& store);

// The claim that is there, whoever's; kDataLoss when it cannot be read as one.
absl::StatusOr<std::optional<ClaimRecord>> ReadClaim(ObjectStore& store);

// kFailedPrecondition when the claim is no longer `text`: it was taken over.
absl::Status CheckClaim(ObjectStore& store, std::string_view text);

// Removes the claim if it is `text`; otherwise there is nothing to do. One that replaces it
// meanwhile stays.
absl::Status ReleaseClaim(ObjectStore& store, std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_CLAIM_H_
