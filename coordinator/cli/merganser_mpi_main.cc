// The program `merganser-mpi`: one merge over all ranks that mpirun or srun starts.
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/merge_flags.h"
#include "coordinator/cli/mpi_app.h"
#include "coordinator/cli/mpi_command.h"
#include "coordinator/cli/parse.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/run_main.h"

namespace merganser::cli {
namespace {

int Run(int argc, char** argv) {
  MergeFlags flags;
  const std::unique_ptr<CLI::App> app = MakeMpiApp(flags);
  // All ranks read the same command line; rank 0 says what is wrong with it.
  absl::Status ready;
  std::vector<std::string> needless;  // which every rank would tell
  const std::optional<int> code = Parse(
      *app, argc, argv, [&ready](const absl::Status& status) { ready = status; }, needless);
  if (code.has_value() && ready.ok()) return *code;
  StartLog(flags.log);
  if (ready.ok()) ready = ChooseSimd();
  return WithInterrupts(
      [&](InterruptWatcher& interrupts) { return RunMpi(flags, ready, interrupts); });
}

}  // namespace
}  // namespace merganser::cli

int main(int argc, char** argv) {
  return merganser::cli::RunMain([&] { return merganser::cli::Run(argc, argv); });
}
