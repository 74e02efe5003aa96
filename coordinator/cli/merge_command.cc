// `merganser merge`: the units are done in this process.
#include <string>

#include "absl/status/statusor.h"
#include "common/engine/prepare.h"
#include "common/recipe/stages.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/embedded_executor.h"
#include "coordinator/cli/merge_run.h"
#include "coordinator/cli/merge_stages.h"

namespace merganser::cli {

int RunMerge(const MergeFlags& flags, InterruptWatcher& interrupts) {
  const absl::StatusOr<std::string> text = ReadRecipeFile(flags.recipe);
  if (text.ok() && CountDocuments(*text) > 1) return MergeStages(flags, *text, interrupts);
  EmbeddedExecutor executor(flags.threads);
  return MergeWith(executor, flags, interrupts);
}

}  // namespace merganser::cli
