// Where units come from, and where results go: the one seam in which embedded,
// gRPC and MPI runs differ. Control only; tensor bytes go between worker and
// store.
#ifndef MERGANSER_WORKER_UNIT_SOURCE_H_
#define MERGANSER_WORKER_UNIT_SOURCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/engine/rounds.h"
#include "common/engine/unit_result.h"
#include "common/methods/merge_method.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"
#include "common/storage/stores.h"

namespace merganser {

// Everything about a job that a worker needs and that does not change while it
// runs. Shared by the units of that job; immutable and thread-safe.
struct JobContext {
  std::string job;  // for messages and logs
  std::string uid;  // of its working folder beside the output
  Plan plan;
  std::optional<PlanMethods> methods;                // always set
  std::vector<std::shared_ptr<ObjectStore>> inputs;  // one a Plan::models
  // Of each model one a PlannedModel::places; none where no model has any.
  std::vector<std::vector<std::shared_ptr<ObjectStore>>> places;
  std::shared_ptr<ObjectStore> output;
  std::vector<PlannedWrite> writes;  // one a Plan::shards

  // The store that a model's shard is in.
  ObjectStore& Input(uint32_t model, uint32_t shard) const {
    const uint32_t place = plan.models[model].shards[shard].place;
    return place == 0 ? *inputs[model] : *places[model][place - 1];
  }
};

// Opens the stores and makes the method. `output_uri` as ParseUri takes it.
absl::StatusOr<std::shared_ptr<const JobContext>> MakeJobContext(std::string job, std::string uid,
                                                                 Plan plan,
                                                                 std::string_view output_uri,
                                                                 std::vector<PlannedWrite> writes,
                                                                 const Stores& stores = {});
// With an output that is open.
absl::StatusOr<std::shared_ptr<const JobContext>> MakeJobContext(
    std::string job, std::string uid, Plan plan, std::shared_ptr<ObjectStore> output,
    std::vector<PlannedWrite> writes, const Stores& stores);

// Makes the bytes of finished units durable, with one flush a file; units of rounds that analyze
// wrote none. The first error ends it. Thread-safe.
absl::Status FlushUnits(const JobContext& job, const std::vector<UnitResult>& results);

struct LeasedUnit {
  std::shared_ptr<const JobContext> job;
  uint32_t unit = 0;  // index into job->plan.units
  std::string token;  // of the lease; empty when embedded
  uint32_t round = 0;
  std::shared_ptr<const Gates> gates;  // the round's state; one a plan.groups
  uint64_t failed_flushes = 0;         // DurableBatcher::FailedFlushes when it began
};

// Thread-safe: the runner calls from its reader and writer threads.
class UnitSource {
 public:
  virtual ~UnitSource() = default;

  // Blocks until there is a unit to work on; nullopt when there will be none
  // (done, failed, cancelled or draining). An error ends the run.
  virtual absl::StatusOr<std::optional<LeasedUnit>> Next() = 0;

  // The unit got on: `bytes` more of it have been written, or read for analysis
  // (RoundBytes in all). 0 is a sign of life
  // where nothing was written yet: a segment was read, its computation began, goes
  // on or ended. Cheap; called about once a second and segment. False: the lease
  // is lost or the job is over; the caller drops the unit without further word.
  virtual bool Progress(const LeasedUnit& unit, uint64_t bytes) = 0;

  // All of the unit's bytes are with the store (not yet necessarily durable).
  virtual void Complete(const LeasedUnit& unit, UnitResult result) = 0;

  // The unit failed here. Whether it is tried again, and where, is the
  // source's business.
  virtual void Fail(const LeasedUnit& unit, absl::Status status) = 0;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_UNIT_SOURCE_H_
