#include "coordinator/cli/manual_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/completion.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/manual.h"
#include "coordinator/cli/mpi_app.h"
#include "coordinator/cli/outline.h"

namespace merganser::cli {
namespace {

OutlineProgram MpiOutline() {
  MergeFlags flags;
  return OutlineOf(*MakeMpiApp(flags));
}

int Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kDone;
}

int Refuse(const std::string& what, const std::string& found,
           const std::vector<std::string>& expected) {
  return Fail(
      absl::InvalidArgumentError(absl::StrCat(
          what, ": found \"", Shown(found), "\", expected one of ", absl::StrJoin(expected, ", "))),
      Phase::kPlanning);
}

}  // namespace

CLI::App* AddManualCommand(CLI::App& app, ManualFlags& flags) {
  CLI::App* manual =
      app.add_subcommand("manual", "Print a manual page: merganser manual merge | man -l -");
  CLI::Option* page = manual->add_option("COMMAND", flags.page,
                                         "Command, or merganser-mpi (default: the program itself)");
  manual->add_flag("--list", flags.list, "List the pages there are")->excludes(page);
  return manual;
}

int RunManual(const CLI::App& app, const ManualFlags& flags) {
  const OutlineProgram own = OutlineOf(app);
  const OutlineProgram mpi = MpiOutline();
  std::vector<std::string> names = ManualNames(own);
  for (std::string& name : ManualNames(mpi)) names.push_back(std::move(name));
  if (flags.list) return Print(absl::StrCat(absl::StrJoin(names, "\n"), "\n"));
  const ManualFacts facts = {.program = ProgramName(), .date = ReleaseDate()};
  const std::string& wanted = flags.page.empty() ? own.itself.name : flags.page;
  std::optional<std::string> text = ManualPage(own, wanted, facts, {mpi.itself.name});
  if (!text.has_value()) text = ManualPage(mpi, wanted, facts, {own.itself.name, "mpirun"});
  return text.has_value() ? Print(*text) : Refuse("COMMAND", wanted, names);
}

CLI::App* AddCompletionCommand(CLI::App& app, CompletionFlags& flags) {
  CLI::App* completion =
      app.add_subcommand("completion", "Print what a shell completes commands and flags by");
  completion->add_option("SHELL", flags.shell, "Shell that reads it")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->add_option("PROGRAM", flags.program, "Program to complete (default: this one)");
  return completion;
}

int RunCompletion(const CLI::App& app, const CompletionFlags& flags) {
  OutlineProgram program = OutlineOf(app);
  if (!flags.program.empty() && flags.program != program.itself.name) {
    OutlineProgram mpi = MpiOutline();
    if (flags.program != mpi.itself.name) {
      return Refuse("PROGRAM", flags.program, {program.itself.name, mpi.itself.name});
    }
    program = std::move(mpi);
  }
  return Print(flags.shell == "bash"  ? BashCompletion(program)
               : flags.shell == "zsh" ? ZshCompletion(program)
                                      : FishCompletion(program));
}

}  // namespace merganser::cli
