// The command of merganser-mpi, on every rank.
#ifndef MERGANSER_COORDINATOR_CLI_MPI_COMMAND_H_
#define MERGANSER_COORDINATOR_CLI_MPI_COMMAND_H_

#include "absl/status/status.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/merge_flags.h"

namespace merganser::cli {

// Joins the run that mpirun or srun started. `ready`: why this rank cannot work.
// `flags.threads` of 0 stands for the cores that are this rank's. The exit code is
// rank 0's; the others' is 0 when they were let go. A run that cannot be ended in
// order is aborted with the exit code that fits.
int RunMpi(MergeFlags flags, const absl::Status& ready, InterruptWatcher& interrupts);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MPI_COMMAND_H_
