// A merge from its recipe to its published output, claim and progress log
// included: what `merganser merge` and merganser-mpi share. Who does the units is
// the one thing in which they differ.
#ifndef MERGANSER_COORDINATOR_CLI_MERGE_RUN_H_
#define MERGANSER_COORDINATOR_CLI_MERGE_RUN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/metrics.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "common/prepare/prepare.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/merge_flags.h"
#include "worker/round_feed.h"
#include "worker/unit_source.h"

namespace merganser::cli {

// What is to be done.
struct MergeJob {
  std::shared_ptr<const JobContext> context;
  std::string output_uri;
  std::vector<UnitResult> done;  // of a run before this one
  uint64_t memory = 0;           // of --memory, what is left for tensors
  std::shared_ptr<MetricRegistry> metrics;
  // To be called with every result, before it counts. Thread-safe.
  std::function<void(const UnitResult&)> completed;
};

class MergeExecutor {
 public:
  virtual ~MergeExecutor() = default;

  // Does all units that are left: every unit's result, in unit order, or the first
  // failure. Once more after another has failed, as a job with other writes.
  virtual absl::StatusOr<std::vector<UnitResult>> Execute(MergeJob job) = 0;

  // --- From any thread, also before Execute.
  // Ends it with this failure, if there is none yet.
  virtual void Fail(absl::Status status) = 0;
  virtual RunProgress progress() = 0;

  // Whether the bytes of a unit are durable when `completed` is called with its result.
  virtual bool TellsWhenDurable() const = 0;

  // After Execute: whether somebody may still be writing, so that nothing may be
  // removed.
  virtual bool StillWrites() const = 0;
};

// Of --memory, what is left for tensors; kInvalidArgument where that is too little for `plan`.
absl::StatusOr<uint64_t> TensorMemory(uint64_t budget, const Plan& plan);

// A recipe that is one stage of its file.
struct StageRun {
  std::string text;  // in the place of the file's
  StageContext context;
};

// The whole command: prints what there is to say and returns the exit code.
int MergeWith(MergeExecutor& executor, const MergeFlags& flags, InterruptWatcher& interrupts,
              const StageRun* stage = nullptr);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MERGE_RUN_H_
