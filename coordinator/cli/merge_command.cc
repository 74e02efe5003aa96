// `merganser merge`: the units are done in this process.
#include "coordinator/cli/commands.h"
#include "coordinator/cli/embedded_executor.h"
#include "coordinator/cli/merge_run.h"

namespace merganser::cli {

int RunMerge(const MergeFlags& flags, InterruptWatcher& interrupts) {
  EmbeddedExecutor executor(flags.threads);
  return MergeWith(executor, flags, interrupts);
}

}  // namespace merganser::cli
