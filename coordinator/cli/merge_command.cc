// `merganser merge`: the units are done in this process.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/prepare/prepare.h"
#include "common/recipe/stages.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/embedded_executor.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/merge_flags.h"
#include "coordinator/cli/merge_run.h"
#include "coordinator/cli/merge_stages.h"

namespace merganser::cli {
namespace {

int Run(const MergeFlags& flags, InterruptWatcher& interrupts) {
  const absl::StatusOr<std::string> text = ReadRecipeFile(flags.recipe);
  if (text.ok() && CountDocuments(*text) > 1) return MergeStages(flags, *text, interrupts);
  EmbeddedExecutor executor(flags.threads);
  return MergeWith(executor, flags, interrupts);
}

}  // namespace

void AddMerge(Commands& commands) {
  const auto flags = std::make_shared<MergeFlags>();
  flags->threads = AllCores();
  const auto run = [flags] {
    return WithInterrupts([&](InterruptWatcher& interrupts) { return Run(*flags, interrupts); });
  };
  CLI::App& command = commands.Add("merge", "Merge in this process", run,
                                   std::shared_ptr<const LogFlags>(flags, &flags->log));
  AddMergeFlags(command, *flags);
  command.add_option(
      "--stages", flags->stages,
      "Of a recipe of several documents: folder or URI for the outputs of its stages, "
      "which are removed at the end (default: OUTPUT.stages)");
  AddThreads(command, flags->threads);
  AddMemory(command, flags->memory);
}

}  // namespace merganser::cli
