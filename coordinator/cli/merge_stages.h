// `merganser merge` of a file of several documents: stages, merged one after the other.
#ifndef MERGANSER_COORDINATOR_CLI_MERGE_STAGES_H_
#define MERGANSER_COORDINATOR_CLI_MERGE_STAGES_H_

#include <string>

#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/merge_flags.h"

namespace merganser::cli {

//   1. All documents are read, put in order and checked as far as models are there.
//   2. Every stage but the last is merged into a folder of its own below --stages (OUTPUT.stages):
//   an
//      ordinary output. One that is there, whole and of the same plan, is left as it is; one that
//      was interrupted is gone on with.
//   3. The last is merged into OUTPUT.
//   4. The stages' outputs are removed.
// Where a stage fails, those before it stay, and the same command goes on.
// `text`: the file's. Prints what there is to say and returns the exit code.
int MergeStages(const MergeFlags& flags, const std::string& text, InterruptWatcher& interrupts);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MERGE_STAGES_H_
