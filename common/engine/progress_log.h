// What of a job's units is done and durable, beside the output at
// .merganser/JOB-UID/progress/EPOCH-NNNNNN: how a run that was killed goes on.
//
// One record a batch of units, put atomically and if absent, after the batch's bytes are
// durable. Every process that holds the job's claim has an epoch, and writes under it alone.
// Its first record is empty and says which plan the records are of; EPOCH-after, put before it,
// says which records of an earlier epoch they follow. What that epoch's process adds later, if
// it was no more than slow, is not among them: it may tell of bytes that were dropped since.
// What no record tells is done again, which writes the same bytes.
#ifndef MERGANSER_COMMON_ENGINE_PROGRESS_LOG_H_
#define MERGANSER_COMMON_ENGINE_PROGRESS_LOG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"

namespace merganser {

// The end of what was on record when it was read.
struct ProgressPosition {
  int64_t epoch = 0;
  uint64_t records = 0;  // 0: nothing is
};

struct RecordedProgress {
  // In the order in which they were put and as ResultFold has them: a unit and round once, and the
  // histograms of a round's group together.
  std::vector<UnitResult> results;
  ProgressPosition end;
};

// All that is on record of epoch `since` and later ones; those before are of planned writes that
// were dropped. kNotFound when nothing was begun, kFailedPrecondition when it was begun under
// another plan, kDataLoss when a record is damaged.
absl::StatusOr<RecordedProgress> ReadProgress(ObjectStore& store, std::string_view job_uid,
                                              const Plan& plan, int64_t since);

// Not thread-safe.
class ProgressLog {
 public:
  // `epoch`: of the claim. `plan` must outlive the log.
  ProgressLog(std::shared_ptr<ObjectStore> store, std::string job_uid, int64_t epoch,
              const Plan& plan);

  // Puts the first record, once; `after` is what this run goes on from.
  absl::Status Begin(const ProgressPosition& after = {});

  // After Begin. The results' bytes must be durable. kFailedPrecondition where another process
  // writes under the same epoch.
  absl::Status Append(const std::vector<UnitResult>& results);

 private:
  const std::shared_ptr<ObjectStore> store_;
  const std::string uid_;
  const int64_t epoch_;
  const Plan& plan_;
  uint64_t next_ = 0;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_PROGRESS_LOG_H_
