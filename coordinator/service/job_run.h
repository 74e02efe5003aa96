// One job's dealings with storage, from recipe to published output: the seam
// between job states and the engine.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_RUN_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_RUN_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "common/publish/report.h"
#include "common/storage/object_store.h"
#include "common/storage/stores.h"
#include "coordinator/service/job.h"

namespace merganser {

// Used by one thread at a time, in the order of its methods. Prepare, Publish, and what goes
// on with an earlier process' work, may be repeated when they fail for now (IsRetryable).
class JobRun {
 public:
  virtual ~JobRun() = default;

  // Where the methods may look, as far as that is in a file system; tells it without a look.
  virtual std::vector<std::string> Paths() const = 0;

  // Reads the inputs' headers and plans; without an output_uri nothing of an output is looked at.
  // The plan is valid while the run lives. A failure that is not IsRetryable means that the request
  // is wrong.
  virtual absl::StatusOr<const Plan*> Prepare() = 0;

  // Claims the output and begins its shards; after Prepare. One write a shard.
  // `epoch` is the coordinator's. kAborted: the holder of a claim that is to be taken over may
  // run on another machine; to be asked again every few seconds, as Resume, FindPublished and
  // Discard are then.
  virtual absl::StatusOr<std::vector<PlannedWrite>> Begin(uint64_t epoch) = 0;

  // In place of Begin, for a job that an earlier process began: takes over its claim
  // and its writes. `done` are the results on record; where the writes cannot be used
  // `forget` drops that record, all is begun again, and `done` is empty. nullopt when
  // the job holds no claim on the output.
  virtual absl::StatusOr<std::optional<std::vector<PlannedWrite>>> Resume(
      uint64_t epoch, std::vector<UnitResult>& done,
      const std::function<absl::Status()>& forget) = 0;

  // For a job whose publication an earlier process had begun: the summary, if its
  // output is whole and visible. Then nothing is left to do.
  virtual absl::StatusOr<std::optional<std::string>> FindPublished() = 0;

  // When a round failed, or all are done: whether planned writes are gone that the output's store
  // had taken. They are begun again then, `done`, the results on record, loses those that have to
  // come again, and these are all shards' writes. nullopt where none are gone. Nobody may write
  // meanwhile but to the writes that are gone.
  virtual absl::StatusOr<std::optional<std::vector<PlannedWrite>>> BeginGoneWrites(
      std::vector<UnitResult>& done) = 0;

  // Whether there are such.
  virtual absl::StatusOr<bool> WritesAreGone() = 0;

  // Of all units' results of the last round: which units have to be done again, as the output does
  // not hold what they wrote. Before Publish.
  virtual absl::StatusOr<std::vector<uint32_t>> LostUnits(
      const std::vector<UnitResult>& results) = 0;

  // Makes the output visible from all units' results, in unit order. Returns a
  // summary for people. After another failure Abandon comes. Where the process is killed in
  // it, another one goes on: with FindPublished, or with Resume and Publish.
  virtual absl::StatusOr<std::string> Publish(const std::vector<UnitResult>& results,
                                              const RunFacts& facts) = 0;

  // The text of the report at the output, of which this job need not be the author. kNotFound where
  // there is none, or it is gone. Needs no other method.
  virtual absl::StatusOr<std::string> Report();

  // Of that report its size, and the identity by which its store tells one content from another.
  // Cheap: nothing of it is read. Errors, and what it needs, as Report.
  virtual absl::StatusOr<ObjectInfo> StatReport();

  // Removes what Begin made or Resume took over; also callable when they or Publish
  // failed or were never called. After a successful Publish it does nothing.
  virtual absl::Status Abandon() = 0;

  // Removes what an earlier process left of this job, if its claim is still there;
  // in place of Abandon where Resume did not come to its end.
  virtual absl::Status Discard() = 0;

  // What a successful Publish could not clear up, one line each.
  virtual std::vector<std::string> Warnings() const = 0;
};

// Must be thread-safe.
using JobRunFactory = std::function<std::unique_ptr<JobRun>(const JobInfo&)>;

// Runs that use the engine and the stores that the URIs name.
JobRunFactory EngineJobRuns(const Stores& stores = {});

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_RUN_H_
