// What of jobs outlives a moment. The memory store outlives the JobManager that
// uses it and nothing else; a journal on disk has the same seam.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_STORE_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_STORE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/service/job.h"

namespace merganser {

struct JobRecord {
  uint64_t sequence = 0;   // order of creation, from 1
  std::string request_id;  // empty if the client gave none
  JobInfo info;            // without progress
};

// Thread-safe. A failure of Save means that the change must not be acted on.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // Called once a start of the coordinator: a number that is higher than that of
  // any start before.
  virtual absl::StatusOr<uint64_t> NextEpoch() = 0;

  // All records, by sequence.
  virtual absl::StatusOr<std::vector<JobRecord>> Load() = 0;

  // Inserts or replaces the record of `record.info.uid`; kept when it returns.
  virtual absl::Status Save(const JobRecord& record) = 0;

  // Forgets the job; not an error when it is not there.
  virtual absl::Status Remove(const std::string& uid) = 0;
};

class MemoryJobStore final : public JobStore {
 public:
  // The epoch starts from the wall clock's second, so that it also rises over
  // restarts of the process, which this store does not remember. The clock must
  // outlive the store.
  explicit MemoryJobStore(const Clock& clock) : clock_(clock) {}

  absl::StatusOr<uint64_t> NextEpoch() override;
  absl::StatusOr<std::vector<JobRecord>> Load() override;
  absl::Status Save(const JobRecord& record) override;
  absl::Status Remove(const std::string& uid) override;

 private:
  const Clock& clock_;
  Mutex mutex_;
  uint64_t epoch_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::map<std::string, JobRecord> records_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_STORE_H_
