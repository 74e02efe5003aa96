#include "coordinator/cli/mpi_command.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/host.h"
#include "common/base/metrics.h"
#include "common/base/status.h"
#include "common/storage/stores.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/merge_run.h"
#include "coordinator/cli/metrics_file.h"
#include "coordinator/cli/process_log.h"
#include "worker/sources/mpi/mpi_run.h"
#include "worker/sources/mpi/mpi_world.h"

namespace merganser::cli {
namespace {

class MpiExecutor final : public MergeExecutor {
 public:
  explicit MpiExecutor(MpiRoot& root) : root_(root) {}

  absl::StatusOr<std::vector<UnitResult>> Execute(MergeJob job) override {
    return root_.Run(job.context, job.output_uri, std::move(job.done), std::move(job.completed));
  }
  void Fail(absl::Status status) override { root_.Fail(std::move(status)); }
  RunProgress progress() override { return root_.progress(); }
  bool TellsWhenDurable() const override { return true; }
  bool StillWrites() const override { return root_.lost(); }

 private:
  MpiRoot& root_;
};

// Ends every rank, after what went wrong was said.
[[noreturn]] void EndAll(MpiWorld& world, int code) {
  std::fflush(stdout);
  std::fflush(stderr);
  world.Abort(code);
}

absl::Status OfRank(const MpiWorld& world, const RankOptions& options, const absl::Status& status) {
  return Annotate(status, absl::StrCat("rank ", world.rank(), " on ", options.host));
}

int RunRoot(MpiWorld& world, const MergeFlags& flags, const RankOptions& options,
            InterruptWatcher& interrupts) {
  MpiRoot root(world, options);
  MpiExecutor executor(root);
  const int code = options.ready.ok() ? MergeWith(executor, flags, interrupts)
                                      : Fail(options.ready, Phase::kPlanning);
  if (root.lost()) EndAll(world, code);
  if (const absl::Status dismissed = root.Dismiss(); !dismissed.ok()) {
    PrintError(dismissed);
    EndAll(world, code == kDone ? kRetryable : code);
  }
  return code;
}

int RunOther(MpiWorld& world, const MergeFlags& flags, const RankOptions& options,
             InterruptWatcher& interrupts) {
  MpiRank rank(world, options);
  MetricsFile metrics(flags.metrics.file, options.stores.metrics(), flags.metrics.labels,
                      flags.metrics.period);
  const HandlerScope handlers(interrupts);
  interrupts.SetHandler([&rank] { rank.Interrupt(); });
  const absl::Status status = rank.Run();
  if (!status.ok()) {
    metrics.Close();  // nothing is taken down any more
    EndAll(world, Fail(OfRank(world, options, status), Phase::kRunning));
  }
  return kDone;
}

}  // namespace

int RunMpi(MergeFlags flags, const absl::Status& ready, InterruptWatcher& interrupts) {
  absl::StatusOr<std::unique_ptr<MpiWorld>> made = MpiWorld::Init();
  if (!made.ok()) return Fail(made.status(), Phase::kRunning);
  MpiWorld& world = **made;
  if (flags.threads == 0) flags.threads = world.cores();
  flags.metrics.file = MetricsFileOfRank(flags.metrics.file, world.rank());
  flags.metrics.labels.emplace_back("rank", absl::StrCat(world.rank()));
  // Rank 0 opens stores for the merge and for its units: both count together.
  flags.storage.metrics = std::make_shared<MetricRegistry>();
  RankOptions options;
  options.host = OneLine(HostName());
  options.threads = flags.threads;
  options.memory = flags.memory;
  options.ready = ready;
  options.stores = Stores(flags.storage);
  // For people rank 0 says what failed, once.
  if (LogsLines()) options.log = ProcessLog();
  int code = kFailed;
  const absl::Status status = Guarded([&] {
    code = world.rank() == 0 ? RunRoot(world, flags, options, interrupts)
                             : RunOther(world, flags, options, interrupts);
  });
  // An exception leaves other ranks waiting for this one.
  if (!status.ok()) EndAll(world, Fail(OfRank(world, options, status), Phase::kRunning));
  return code;
}

}  // namespace merganser::cli
