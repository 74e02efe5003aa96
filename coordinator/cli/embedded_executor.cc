#include "coordinator/cli/embedded_executor.h"

#include <utility>

#include "coordinator/cli/process_log.h"
#include "worker/logged_source.h"
#include "worker/unit_runner.h"

namespace merganser::cli {

absl::StatusOr<std::vector<UnitResult>> EmbeddedExecutor::Execute(MergeJob job) {
  InProcessSource source(job.context, std::move(job.done), std::move(job.completed));
  SetSource(&source);
  RunnerOptions options;
  options.threads = threads_;
  options.memory = job.memory;
  options.metrics = std::move(job.metrics);
  // For people the run's error says the same once more.
  LoggedSource logged(source, "", LogsLines() ? ProcessLog() : LogSink());
  absl::Status run = RunUnits(logged, options);
  SetSource(nullptr);
  if (!run.ok()) return run;
  return source.TakeResults();
}

void EmbeddedExecutor::Fail(absl::Status status) {
  MutexLock lock(mutex_);
  if (source_ != nullptr) {
    source_->Fail({}, std::move(status));
  } else if (failure_.ok()) {
    failure_ = std::move(status);
  }
}

RunProgress EmbeddedExecutor::progress() {
  MutexLock lock(mutex_);
  return source_ == nullptr ? last_ : source_->progress();
}

void EmbeddedExecutor::SetSource(InProcessSource* source) {
  MutexLock lock(mutex_);
  if (source_ != nullptr) last_ = source_->progress();
  source_ = source;
  if (source_ != nullptr && !failure_.ok()) source_->Fail({}, failure_);
}

}  // namespace merganser::cli
