// `merganser extract-lora`: an adapter that makes a model of its base.
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/adapters/extract_lora.h"
#include "common/adapters/extract_report.h"
#include "common/adapters/model_pair.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/lora_run.h"
#include "coordinator/cli/progress.h"
#include "coordinator/cli/store_flags.h"
#include "worker/unit_runner.h"

namespace merganser::cli {
namespace {

struct ExtractLoraFlags {
  std::string base, model, output;
  uint64_t rank = 0;
  std::optional<double> energy;
  std::optional<DType> dtype;  // none: float32
  LoraModules modules;
  bool save_modules = false;
  int threads = AllCores();
  uint64_t memory = 0;
  StoreOptions storage;
};

absl::StatusOr<ExtractedLora> Extract(const ModelPair& pair, const ExtractLoraOptions& options,
                                      const std::string& output, const Stores& stores,
                                      CancellableExecutor& executor) {
  ExtractProgress progress;
  const ProgressPrinter printer([&] { return SampleOf(progress, "extracting"); });
  return ExtractLora(pair, options, output, stores, executor, progress);
}

void AddFlags(CLI::App& command, ExtractLoraFlags& flags) {
  command.add_option("BASE", flags.base, "The model that MODEL was trained from")->required();
  command.add_option("MODEL", flags.model, "The trained model: folder, URI or cached org/name")
      ->required();
  command.add_option("OUT", flags.output, "Folder for the adapter, which is not there yet")
      ->required();
  command.add_option("--rank", flags.rank, "Rank of the adapter; with --energy at most")
      ->required()
      ->check(CLI::Range(uint64_t{1}, kMostLoraRank));
  command
      .add_option("--energy", flags.energy,
                  "Of each layer the least rank that keeps this share of the difference's squares, "
                  "such as 0.95")
      ->check(CLI::Range(0.0, 1.0));
  AddLoraDtype(command, flags.dtype, "float32");
  command
      .add_option(
          "--modules", flags.modules.only,
          "Only these layers, by name or its end, such as q_proj,v_proj; also an embedding, "
          "output head or router, which are left out otherwise")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--exclude", flags.modules.exclude, "Not these layers")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_flag("--save-modules", flags.save_modules,
                   "Keep norms and other modules that differ whole (PEFT's modules_to_save)");
  AddThreads(command, flags.threads);
  AddMemory(command, flags.memory);
  AddReadStoreFlags(command, flags.storage);
}

int Run(const ExtractLoraFlags& flags, InterruptWatcher& interrupts) {
  const Stores stores(flags.storage);
  const absl::StatusOr<std::string> output = LoraOutput(flags.output);
  if (!output.ok()) return Fail(output.status(), Phase::kPlanning);
  const absl::StatusOr<ModelPair> pair = OpenModelPair({flags.base, {}}, flags.model, stores);
  if (!pair.ok()) return Fail(pair.status(), Phase::kPlanning);
  TellLines(LogLevel::kWarn, pair->warnings);
  ExtractLoraOptions options;
  options.rank = {flags.rank, flags.energy};
  options.dtype = flags.dtype.value_or(DType::kF32);
  options.modules = flags.modules;
  options.save_modules = flags.save_modules;
  options.memory = flags.memory;
  options.process_memory = kProcessMemory;
  CancellableExecutor executor(flags.threads);
  interrupts.SetHandler([&executor] { executor.Cancel(); });
  const HandlerScope handlers(interrupts);
  const absl::StatusOr<ExtractedLora> lora =
      Guarded([&] { return Extract(*pair, options, *output, stores, executor); });
  if (!lora.ok()) return FailLora(lora.status());
  TellLines(LogLevel::kWarn, ExtractWarnings(*lora));
  std::fputs(ExtractText(*lora).c_str(), stdout);
  std::printf("written to %s\n", OneLine(*output).c_str());
  return kDone;
}

}  // namespace

void AddExtractLora(Commands& commands) {
  const auto flags = std::make_shared<ExtractLoraFlags>();
  CLI::App& command = commands.Add(
      "extract-lora", "Write the adapter (LoRA, for PEFT) that makes MODEL of BASE", [flags] {
        return WithInterrupts(
            [&](InterruptWatcher& interrupts) { return Run(*flags, interrupts); });
      });
  AddFlags(command, *flags);
}

}  // namespace merganser::cli
