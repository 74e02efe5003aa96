// `merganser merge`: the units are done in this process.
#include <memory>
#include <utility>

#include "common/base/mutex.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/merge_run.h"
#include "worker/sources/in_process.h"
#include "worker/unit_runner.h"

namespace merganser::cli {
namespace {

class EmbeddedExecutor final : public MergeExecutor {
 public:
  explicit EmbeddedExecutor(int threads) : threads_(threads) {}

  absl::StatusOr<std::vector<UnitResult>> Execute(MergeJob job) override {
    InProcessSource source(job.context, std::move(job.done), std::move(job.completed));
    SetSource(&source);
    RunnerOptions options;
    options.threads = threads_;
    options.memory = job.memory;
    options.metrics = std::move(job.metrics);
    absl::Status run = RunUnits(source, options);
    SetSource(nullptr);
    if (!run.ok()) return run;
    return source.TakeResults();
  }

  void Fail(absl::Status status) override {
    MutexLock lock(mutex_);
    if (source_ != nullptr) {
      source_->Fail({}, std::move(status));
    } else if (failure_.ok()) {
      failure_ = std::move(status);
    }
  }

  RunProgress progress() override {
    MutexLock lock(mutex_);
    return source_ == nullptr ? last_ : source_->progress();
  }

  bool TellsWhenDurable() const override { return false; }
  bool StillWrites() const override { return false; }

 private:
  void SetSource(InProcessSource* source) {
    MutexLock lock(mutex_);
    if (source_ != nullptr) last_ = source_->progress();
    source_ = source;
    if (source_ != nullptr && !failure_.ok()) source_->Fail({}, failure_);
  }

  const int threads_;
  Mutex mutex_;
  InProcessSource* source_ MERGANSER_GUARDED_BY(mutex_) = nullptr;
  RunProgress last_ MERGANSER_GUARDED_BY(mutex_);      // without a source: how far it came
  absl::Status failure_ MERGANSER_GUARDED_BY(mutex_);  // that came before the source
};

}  // namespace

int RunMerge(const MergeFlags& flags, InterruptWatcher& interrupts) {
  EmbeddedExecutor executor(flags.threads);
  return MergeWith(executor, flags, interrupts);
}

}  // namespace merganser::cli
