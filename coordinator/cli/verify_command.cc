// `merganser verify`: an output against its report, or any model against base and adapter.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/adapters/adapter_check.h"
#include "common/adapters/model_pair.h"
#include "common/base/executor.h"
#include "common/base/guarded.h"
#include "common/storage/stores.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/store_flags.h"
#include "coordinator/cli/verify_merge.h"
#include "worker/checkpoint_weights.h"

namespace merganser::cli {
namespace {

struct VerifyFlags {
  std::string checkpoint;
  std::string base, adapter;  // empty: the output's own report is verified
  int threads = AllCores();
  StoreOptions storage;
};

// Whether the model is its base plus an adapter.
int VerifyAdapter(const Stores& stores, const VerifyFlags& flags) {
  const absl::StatusOr<ModelPair> pair =
      OpenModelPair({flags.base, {{flags.adapter}}}, flags.checkpoint, stores);
  if (!pair.ok()) return Fail(pair.status(), Phase::kPlanning);
  for (const std::string& warning : pair->warnings) Log(LogLevel::kWarn, warning);
  ThreadPool pool(static_cast<size_t>(flags.threads - 1));
  CheckpointWeights weights(*pair->base, pool);
  const absl::StatusOr<AdapterCheck> check =
      Guarded([&] { return CheckAdapter(*pair, weights, pool); });
  if (!check.ok()) return Fail(check.status(), Phase::kRunning);
  std::fputs(AdapterCheckText(*check, *pair).c_str(), stdout);
  const absl::Status fits = AdapterCheckStatus(*check, *pair);
  return fits.ok() ? kDone : Fail(fits, Phase::kRunning);
}

int Run(const VerifyFlags& flags) {
  const Stores stores(flags.storage);
  if (!flags.adapter.empty()) return VerifyAdapter(stores, flags);
  return VerifyMerge(stores, flags.checkpoint, flags.threads);
}

void AddFlags(CLI::App& command, VerifyFlags& flags) {
  command.add_option("CHECKPOINT", flags.checkpoint, "Folder or URI of a merged checkpoint")
      ->required();
  CLI::Option* adapter = command.add_option(
      "--adapter", flags.adapter,
      "Hold CHECKPOINT, whoever wrote it, against --base plus this adapter, tensor by tensor");
  CLI::Option* base =
      command.add_option("--base", flags.base, "The model that the adapter was trained on");
  adapter->needs(base);
  base->needs(adapter);
  AddThreads(command, flags.threads);
  AddReadStoreFlags(command, flags.storage);
}

}  // namespace

void AddVerify(Commands& commands) {
  const auto flags = std::make_shared<VerifyFlags>();
  CLI::App& command = commands.Add("verify", "Hold an output against its report's checksums",
                                   [flags] { return Run(*flags); });
  AddFlags(command, *flags);
}

}  // namespace merganser::cli
