// `merganser verify --adapter`: whether a model is its base plus an adapter.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "absl/status/statusor.h"
#include "common/adapters/adapter_check.h"
#include "common/adapters/model_pair.h"
#include "common/base/executor.h"
#include "common/base/guarded.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/lora_commands.h"
#include "coordinator/cli/process_log.h"
#include "worker/checkpoint_weights.h"

namespace merganser::cli {

void AddVerifyAdapterFlags(CLI::App& command, VerifyAdapterFlags& flags) {
  CLI::Option* adapter = command.add_option(
      "--adapter", flags.adapter,
      "Hold CHECKPOINT, whoever wrote it, against --base plus this adapter, tensor by tensor");
  CLI::Option* base =
      command.add_option("--base", flags.base, "The model that the adapter was trained on");
  adapter->needs(base);
  base->needs(adapter);
}

int RunVerifyAdapter(const Stores& stores, const std::string& model,
                     const VerifyAdapterFlags& flags, int threads) {
  const absl::StatusOr<ModelPair> pair =
      OpenModelPair({flags.base, {{flags.adapter}}}, model, stores);
  if (!pair.ok()) return Fail(pair.status(), Phase::kPlanning);
  for (const std::string& warning : pair->warnings) Log(LogLevel::kWarn, warning);
  ThreadPool pool(static_cast<size_t>(threads - 1));
  CheckpointWeights weights(*pair->base, pool);
  const absl::StatusOr<AdapterCheck> check =
      Guarded([&] { return CheckAdapter(*pair, weights, pool); });
  if (!check.ok()) return Fail(check.status(), Phase::kRunning);
  std::fputs(AdapterCheckText(*check, *pair).c_str(), stdout);
  const absl::Status fits = AdapterCheckStatus(*check, *pair);
  return fits.ok() ? kDone : Fail(fits, Phase::kRunning);
}

}  // namespace merganser::cli
