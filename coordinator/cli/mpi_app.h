// The command line of `merganser-mpi`, apart from the program, as its manual page needs it where
// there is no MPI.
#ifndef MERGANSER_COORDINATOR_CLI_MPI_APP_H_
#define MERGANSER_COORDINATOR_CLI_MPI_APP_H_

#include <memory>

#include "coordinator/cli/merge_flags.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// Parsing it fills `flags`, which has to outlive it.
std::unique_ptr<CLI::App> MakeMpiApp(MergeFlags& flags);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MPI_APP_H_
