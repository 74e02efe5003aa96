// Who may write one output, and what a killed job left there.
//
//   .merganser/claim               created exclusively; names the job
//   .merganser/JOB-UID/writes.json  the planned writes that the job began
//   .merganser/JOB-UID/...          beat, keepsakes and progress log (not of this file)
//
// A job's folder lives only while the job holds the claim, so whoever holds it
// may clear the folders of others.
#ifndef MERGANSER_COMMON_ENGINE_CLAIM_H_
#define MERGANSER_COMMON_ENGINE_CLAIM_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
// kFailedPrecondition naming job, start, host and pid when there is one already;
// with `takeover` that one is removed first (ReleaseClaim says how surely). On
// failure no claim of ours stays behind.
absl::StatusOr<std::string> TakeClaim(ObjectStore& store, const ClaimRecord& claim, bool takeover);

// The claim that is there, whoever's; kDataLoss when it cannot be read as one.
absl::StatusOr<std::optional<ClaimRecord>> ReadClaim(ObjectStore& store);

// kFailedPrecondition when the claim is no longer `text`: it was taken over.
absl::Status CheckClaim(ObjectStore& store, std::string_view text);

// Removes the claim if it is `text` when read; otherwise there is nothing to do.
//
// Reading and removing are two steps: an ObjectStore has no conditional delete.
// Promised: a claim that was not `text` when read stays. Not promised: that a
// claim which replaces `text` between the two steps stays. It takes a takeover in
// just that moment: of a job that is releasing, or two of one claim at once. Then
// two jobs may believe that they hold the output, until the one whose claim was
// removed calls CheckClaim; JobOutput does before it touches anything visible and
// again before the model becomes visible, not between.
absl::Status ReleaseClaim(ObjectStore& store, std::string_view text);

// Puts down which planned writes `job` has begun, replacing what was put down
// before. An entry with an empty upload is one that may have been begun: put down
// before BeginWrite, it lets whoever takes over find what a killed job left.
absl::Status RecordWrites(ObjectStore& store, std::string_view job,
                          std::span<const PlannedWrite> writes);

// Whether RecordWrites put something down that is still there: the job lives, and its
// working folder is not being cleared up.
absl::StatusOr<bool> HasRecordedWrites(ObjectStore& store, std::string_view job);

// What RecordWrites put down last; empty when there is nothing.
absl::StatusOr<std::vector<PlannedWrite>> ReadWrites(ObjectStore& store, std::string_view job);

// Aborts `writes` of `job`; without any, those that RecordWrites put down. Then
// removes the job's working folder, its record last, and only if nothing that it
// names may be left. Does all it can and returns the first error.
absl::Status ClearJob(ObjectStore& store, std::string_view job,
                      std::span<const PlannedWrite> writes);

// Removes folders of jobs that hold nothing, as a process leaves that is killed while
// it clears up; stores without folders have none. Needs no claim.
absl::Status ClearEmptyFolders(ObjectStore& store);

// ClearJob for every working folder of the output. To be called under a claim.
absl::Status ClearAllJobs(ObjectStore& store);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_CLAIM_H_
