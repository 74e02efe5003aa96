// What of a job's units is done and durable, beside the output at
// .merganser/JOB-UID/progress/NNNNNN: how a run that was killed goes on.
//
// One record a batch of units, put atomically, after the batch's bytes are
// durable. Records are numbered; the first is empty and says which plan they are
// of. What no record tells is done again, which writes the same bytes.
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

// Not thread-safe.
class ProgressLog {
 public:
  // `plan` must outlive the log.
  ProgressLog(std::shared_ptr<ObjectStore> store, std::string job_uid, const Plan& plan);

  // Puts the first record.
  absl::Status Begin();

  // All results on record, in the order in which they were put and as ResultFold has them: a
  // unit and round once, and the histograms of a round's group together. kNotFound when nothing was
  // begun, kFailedPrecondition when it was begun under another plan, kDataLoss when a record is
  // damaged. Append goes on after the last.
  absl::StatusOr<std::vector<UnitResult>> Read();

  // The results' bytes must be durable.
  absl::Status Append(const std::vector<UnitResult>& results);

 private:
  std::string Key(uint64_t record) const;

  const std::shared_ptr<ObjectStore> store_;
  const std::string uid_;
  const Plan& plan_;
  uint64_t next_ = 0;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_PROGRESS_LOG_H_
