#include "coordinator/cli/mpi_app.h"

#include <CLI/CLI.hpp>

#include "coordinator/cli/flags.h"
#include "coordinator/cli/version.h"

namespace merganser::cli {

std::unique_ptr<CLI::App> MakeMpiApp(MergeFlags& flags) {
  auto app = std::make_unique<CLI::App>(
      "Merges RL experts of one base model into one checkpoint, on all ranks of an MPI run.",
      "merganser-mpi");
  app->set_version_flag("--version", VersionText());
  app->footer(
      "Started by mpirun or srun: mpirun -n 4 merganser-mpi RECIPE OUTPUT. Threads and "
      "memory are each rank's.");
  AddMergeFlags(*app, flags);
  AddThreads(*app, flags.threads);
  AddMemory(*app, flags.memory);
  return app;
}

}  // namespace merganser::cli
