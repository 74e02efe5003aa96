// One job's dealings with storage, from recipe to published output: the seam
// between job states and the engine.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_RUN_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_RUN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/engine/report.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"
#include "common/storage/roots.h"
#include "coordinator/service/job.h"

namespace merganser {

// Used by one thread at a time, in the order of its methods.
class JobRun {
 public:
  virtual ~JobRun() = default;

  // Reads the inputs' headers and plans. The plan is valid while the run lives.
  // A failure that is not IsRetryable means that the request is wrong.
  virtual absl::StatusOr<const Plan*> Prepare() = 0;

  // Claims the output and begins its shards; after Prepare. One write a shard.
  // `epoch` is the coordinator's.
  virtual absl::StatusOr<std::vector<PlannedWrite>> Begin(uint64_t epoch) = 0;

  // Makes the output visible from all units' results, in unit order. Returns a
  // summary for people. Not repeatable, whatever the failure: part of the output
  // may be committed. Abandon is what comes after.
  virtual absl::StatusOr<std::string> Publish(const std::vector<UnitResult>& results,
                                              const RunFacts& facts) = 0;

  // Removes what Begin made; also callable when Begin or Publish failed or were
  // never called. After a successful Publish it does nothing.
  virtual absl::Status Abandon() = 0;

  // What a successful Publish could not clear up, one line each.
  virtual std::vector<std::string> Warnings() const = 0;
};

// Must be thread-safe.
using JobRunFactory = std::function<std::unique_ptr<JobRun>(const JobInfo&)>;

// Runs that use the engine and the stores that the URIs name, as far as `roots` allow
// them.
JobRunFactory EngineJobRuns(const AllowedRoots& roots = {});

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_RUN_H_
