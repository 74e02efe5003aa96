// `merganser merge-lora`: the adapters of a recipe, merged into one adapter.
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/adapters/merge_lora.h"
#include "common/adapters/merged_modules.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/prepare/prepare.h"
#include "common/prepare/recipe_models.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/lora_run.h"
#include "coordinator/cli/progress.h"
#include "coordinator/cli/store_flags.h"
#include "worker/planned_sources.h"
#include "worker/unit_runner.h"

namespace merganser::cli {
namespace {

struct MergeLoraFlags {
  std::string recipe, output;
  std::optional<uint64_t> rank;
  std::optional<double> energy;
  std::optional<DType> dtype;  // none: the recipe's
  int threads = AllCores();
  uint64_t memory = 0;
  StoreOptions storage;
};

struct PlannedLora {
  PreparedMerge prepared;
  MergedModules modules;
};

absl::StatusOr<PlannedLora> PlanLora(const std::string& recipe, const Stores& stores) {
  PlannedLora out;
  MERGANSER_ASSIGN_OR_RETURN(const std::string text, ReadRecipeFile(recipe));
  MERGANSER_ASSIGN_OR_RETURN(out.prepared,
                             PrepareMerge(text, recipe, RecipeDirectories(recipe), stores));
  MERGANSER_ASSIGN_OR_RETURN(out.modules, FindMergedModules(out.prepared, stores));
  return out;
}

MergeLoraOptions OptionsFor(const MergeLoraFlags& flags, const Recipe& recipe) {
  MergeLoraOptions options;
  options.rank = flags.rank;
  options.energy = flags.energy;
  const DType dtype = flags.dtype.value_or(recipe.out_dtype.value_or(DType::kF32));
  options.dtype = dtype == DType::kF64 ? DType::kF32 : dtype;
  options.memory = flags.memory;
  options.process_memory = kProcessMemory;
  return options;
}

// Warnings and notes of the plan, and what is in a recipe of full models and not in adapters.
void Tell(const PlannedLora& planned) {
  const Recipe& recipe = planned.prepared.recipe;
  std::vector<std::string> warnings = planned.prepared.plan.warnings;
  warnings.insert(warnings.end(), planned.modules.warnings.begin(), planned.modules.warnings.end());
  std::vector<std::string> notes = planned.prepared.plan.notes;
  notes.insert(notes.end(), planned.modules.notes.begin(), planned.modules.notes.end());
  const auto unused = [&](const char* key) {
    notes.push_back(absl::StrCat(recipe.source_name, ": key '", key,
                                 "': accepted, but it has no effect on an adapter"));
  };
  if (recipe.tokenizer.has_value()) unused(recipe.tokenizer->key.c_str());
  if (recipe.chat_template.has_value()) unused("chat_template");
  if (recipe.max_shard_size != Recipe().max_shard_size) unused("max_shard_size");
  if (recipe.out_dtype == DType::kF64) {
    notes.push_back(absl::StrCat(recipe.source_name,
                                 ": key 'out_dtype': factors of adapters are float32 at most"));
  }
  TellLines(LogLevel::kInfo, notes);
  TellLines(LogLevel::kWarn, warnings);
}

absl::StatusOr<MergedLora> Merge(const PlannedLora& planned, const MergeLoraOptions& options,
                                 const std::string& output, const Stores& stores,
                                 CancellableExecutor& executor, int threads) {
  MERGANSER_ASSIGN_OR_RETURN(
      const std::unique_ptr<PlannedSources> sources,
      PlannedSources::Open(planned.prepared.plan, stores, executor, threads));
  ExtractProgress progress;
  const ProgressPrinter printer([&] { return SampleOf(progress, "merging"); });
  return MergeLora(planned.prepared, planned.modules, options, output, stores, *sources, executor,
                   progress);
}

void AddFlags(CLI::App& command, MergeLoraFlags& flags) {
  command
      .add_option("RECIPE", flags.recipe,
                  "Recipe (YAML) whose models are adapters on one base (BASE+ADAPTER)")
      ->required();
  command.add_option("OUT", flags.output, "Folder for the merged adapter, which is not there yet")
      ->required();
  command
      .add_option("--rank", flags.rank,
                  "Rank of the merged adapter; with --energy at most. Of linear and "
                  "task_arithmetic by default all that the adapters have together, which loses "
                  "nothing")
      ->check(CLI::Range(uint64_t{1}, kMostLoraRank));
  command
      .add_option("--energy", flags.energy,
                  "Of each module the least rank that keeps this share of the merged delta's "
                  "squares, such as 0.99")
      ->check(CLI::Range(0.0, 1.0));
  AddLoraDtype(command, flags.dtype, "the recipe's out_dtype, else float32");
  AddThreads(command, flags.threads);
  AddMemory(command, flags.memory);
  AddReadStoreFlags(command, flags.storage);
}

int Run(const MergeLoraFlags& flags, InterruptWatcher& interrupts) {
  const Stores stores(flags.storage);
  const absl::StatusOr<std::string> output = LoraOutput(flags.output);
  if (!output.ok()) return Fail(output.status(), Phase::kPlanning);
  const absl::StatusOr<PlannedLora> planned =
      Guarded([&] { return PlanLora(flags.recipe, stores); });
  if (!planned.ok()) return Fail(planned.status(), Phase::kPlanning);
  Tell(*planned);
  CancellableExecutor executor(flags.threads);
  interrupts.SetHandler([&executor] { executor.Cancel(); });
  const HandlerScope handlers(interrupts);
  const absl::StatusOr<MergedLora> merged = Guarded([&] {
    return Merge(*planned, OptionsFor(flags, planned->prepared.recipe), *output, stores, executor,
                 flags.threads);
  });
  if (!merged.ok()) return FailLora(merged.status());
  std::fputs(MergeLoraText(*merged).c_str(), stdout);
  std::printf("written to %s\n", OneLine(*output).c_str());
  return kDone;
}

}  // namespace

void AddMergeLora(Commands& commands) {
  const auto flags = std::make_shared<MergeLoraFlags>();
  CLI::App& command = commands.Add(
      "merge-lora", "Merge the adapters (LoRA) of a recipe into one adapter, for PEFT", [flags] {
        return WithInterrupts(
            [&](InterruptWatcher& interrupts) { return Run(*flags, interrupts); });
      });
  AddFlags(command, *flags);
}

}  // namespace merganser::cli
