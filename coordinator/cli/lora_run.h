// What the commands that write adapters share.
#ifndef MERGANSER_COORDINATOR_CLI_LORA_RUN_H_
#define MERGANSER_COORDINATOR_CLI_LORA_RUN_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/adapters/extract_lora.h"
#include "common/base/executor.h"
#include "common/base/log.h"
#include "common/tensor/dtype.h"
#include "coordinator/cli/progress.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

inline constexpr uint64_t kMostLoraRank = 65'536;

// Threads whose work somebody may no longer want.
class CancellableExecutor final : public Executor {
 public:
  explicit CancellableExecutor(int threads) : pool_(static_cast<size_t>(threads - 1)) {}
  void ParallelFor(size_t count, const std::function<void(size_t)>& block) override {
    pool_.ParallelFor(count, block);
  }
  bool cancelled() const override { return cancelled_; }
  void Cancel() { cancelled_ = true; }

 private:
  ThreadPool pool_;
  std::atomic<bool> cancelled_ = false;
};

// --dtype of an adapter; `otherwise` says what it is without the flag.
void AddLoraDtype(CLI::App& command, std::optional<DType>& dtype, const char* otherwise);

// OUT as an absolute path on this machine, at which nothing is.
absl::StatusOr<std::string> LoraOutput(const std::string& output);

// The first of many, and how many more there are.
void TellLines(LogLevel level, const std::vector<std::string>& lines);

// For ProgressPrinter.
ProgressSample SampleOf(const ExtractProgress& progress, const char* phase);

// Reports what became of it; the exit code.
int FailLora(const absl::Status& status);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_LORA_RUN_H_
