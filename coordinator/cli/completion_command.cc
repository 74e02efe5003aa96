// `merganser completion`: what a shell completes both programs by, made of their flags.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/completion.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/outline.h"
#include "coordinator/cli/outlined_programs.h"

namespace merganser::cli {
namespace {

struct CompletionFlags {
  std::string shell;
  std::string program;  // empty: this one
};

int Run(const CLI::App& app, const CompletionFlags& flags) {
  OutlineProgram program = OutlineOf(app);
  if (!flags.program.empty() && flags.program != program.itself.name) {
    OutlineProgram mpi = MpiOutline();
    if (flags.program != mpi.itself.name) {
      return Fail(NoneOf("PROGRAM", flags.program, {program.itself.name, mpi.itself.name}),
                  Phase::kPlanning);
    }
    program = std::move(mpi);
  }
  const std::string script = flags.shell == "bash"  ? BashCompletion(program)
                             : flags.shell == "zsh" ? ZshCompletion(program)
                                                    : FishCompletion(program);
  std::fputs(script.c_str(), stdout);
  return kDone;
}

}  // namespace

void AddCompletion(Commands& commands) {
  const auto flags = std::make_shared<CompletionFlags>();
  CLI::App& command =
      commands.Add("completion", "Print what a shell completes commands and flags by",
                   [flags, &app = commands.app()] { return Run(app, *flags); });
  command.add_option("SHELL", flags->shell, "Shell that reads it")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command.add_option("PROGRAM", flags->program, "Program to complete (default: this one)");
}

}  // namespace merganser::cli
