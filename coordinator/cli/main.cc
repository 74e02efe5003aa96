// The program `merganser`: flags in, command, exit code out.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/parse.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/run_main.h"

namespace merganser::cli {
namespace {

int Run(int argc, char** argv) {
  const std::unique_ptr<Commands> commands = BuildApp();
  std::vector<std::string> notes;
  if (const std::optional<int> code = Parse(commands->app(), argc, argv, PrintError, notes);
      code.has_value()) {
    return *code;
  }
  const Command* command = commands->Chosen();
  if (command == nullptr) {
    PrintError(absl::InvalidArgumentError("no command given; see merganser --help"));
    return kWrongRequest;
  }
  StartLog(command->log == nullptr ? LogFlags() : *command->log);
  for (const std::string& note : notes) Log(LogLevel::kInfo, "note: " + note);
  if (const absl::Status simd = ChooseSimd(); !simd.ok()) return Fail(simd, Phase::kPlanning);
  return command->run();
}

}  // namespace
}  // namespace merganser::cli

int main(int argc, char** argv) {
  return merganser::cli::RunMain([&] { return merganser::cli::Run(argc, argv); });
}
