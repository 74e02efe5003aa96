// How much text a job may carry: so that every answer stays below the 4 MiB that gRPC
// clients take by default, whatever a recipe, a storage system or a worker says.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_LIMITS_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_LIMITS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "coordinator/service/job.h"

namespace merganser {

// In bytes; what is longer is cut (Cut).
inline constexpr size_t kMaxErrorText = 2048;
inline constexpr size_t kMaxEventText = 1024;
inline constexpr size_t kMaxDetailText = 1024;
inline constexpr size_t kMaxWarningText = 1024;
inline constexpr size_t kMaxSummaryText = size_t{16} << 10;
// Of what the recipe names.
inline constexpr size_t kMaxMethodText = 64;
inline constexpr size_t kMaxModelText = 512;
inline constexpr size_t kMaxModels = 64;
// The last one says how many more there are. A plan's leave room for a publication's.
inline constexpr size_t kMaxWarnings = 64;
inline constexpr size_t kMaxPlanWarnings = 48;

// A page of jobs ends before this many bytes, but holds at least one job.
inline constexpr size_t kMaxPageBytes = size_t{2} << 20;

// Cuts the job's error, warnings, summary, detail, method and models. Called for all that is put on
// record, and for what an older program put there.
void BoundTexts(JobInfo& info);

// Keeps the first ones, `most` in all.
void BoundWarnings(size_t most, std::vector<std::string>& warnings);

// At least the bytes of EncodeJob's message.
size_t EncodedBytesAtMost(const JobInfo& info);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_LIMITS_H_
