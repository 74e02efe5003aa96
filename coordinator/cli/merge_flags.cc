#include "coordinator/cli/merge_flags.h"

#include <CLI/CLI.hpp>

#include "coordinator/cli/store_flags.h"

namespace merganser::cli {

void AddMergeFlags(CLI::App& command, MergeFlags& flags) {
  command.add_option("RECIPE", flags.recipe, "Recipe (YAML)")->required();
  command.add_option("OUTPUT", flags.output, "Folder or URI of the merged checkpoint")->required();
  AddMergeRunFlags(command, flags);
}

void AddMergeRunFlags(CLI::App& command, MergeFlags& flags) {
  CLI::Option* overwrite =
      command.add_flag("--overwrite", flags.overwrite, "Replace what OUTPUT holds");
  command
      .add_flag("--resume", flags.resume,
                "Go on with a merge of this recipe that was killed or interrupted; begins one if "
                "there is none, and does nothing if it is complete")
      ->excludes(overwrite);
  command
      .add_option_function<double>(
          "--record-every",
          [&flags](double seconds) { flags.record_ms = static_cast<int64_t>(seconds * 1000); },
          "Seconds between records of what is done: what a crash may cost")
      ->check(CLI::Range(0.01, 86400.0))
      ->default_str("5");
  command.add_flag("--verify", flags.verify,
                   "Read the output back afterwards, every byte against its checksum");
  AddMetricsFlags(command, flags.metrics);
  AddLogFlags(command, flags.log, /*standing=*/false);
  AddStoreFlags(command, flags.storage);
  // For tests, and so not among those that are listed.
  command
      .add_option_function<double>(
          "--beat-every",
          [&flags](double seconds) { flags.beat_ms = static_cast<int64_t>(seconds * 1000); })
      ->check(CLI::Range(0.01, 60.0))
      ->group("");
}

}  // namespace merganser::cli
