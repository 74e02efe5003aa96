// Units that are done in this process.
#ifndef MERGANSER_COORDINATOR_CLI_EMBEDDED_EXECUTOR_H_
#define MERGANSER_COORDINATOR_CLI_EMBEDDED_EXECUTOR_H_

#include <vector>

#include "common/base/mutex.h"
#include "coordinator/cli/merge_run.h"
#include "worker/sources/in_process.h"

namespace merganser::cli {

class EmbeddedExecutor final : public MergeExecutor {
 public:
  explicit EmbeddedExecutor(int threads) : threads_(threads) {}

  absl::StatusOr<std::vector<UnitResult>> Execute(MergeJob job) override;
  void Fail(absl::Status status) override;
  RunProgress progress() override;
  bool TellsWhenDurable() const override { return false; }
  bool StillWrites() const override { return false; }

 private:
  void SetSource(InProcessSource* source);

  const int threads_;
  Mutex mutex_;
  InProcessSource* source_ MERGANSER_GUARDED_BY(mutex_) = nullptr;
  RunProgress last_ MERGANSER_GUARDED_BY(mutex_);      // without a source: how far it came
  absl::Status failure_ MERGANSER_GUARDED_BY(mutex_);  // that came before the source
};

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_EMBEDDED_EXECUTOR_H_
