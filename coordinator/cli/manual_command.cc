// `merganser manual`: pages of both programs, made of their flags.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/manual.h"
#include "coordinator/cli/outline.h"
#include "coordinator/cli/outlined_programs.h"
#include "coordinator/cli/version.h"

namespace merganser::cli {
namespace {

struct ManualFlags {
  std::string page;   // a command, or a page's name; empty: the program's
  bool list = false;  // names of all pages instead
};

int Run(const CLI::App& app, const ManualFlags& flags) {
  const OutlineProgram own = OutlineOf(app);
  const OutlineProgram mpi = MpiOutline();
  std::vector<std::string> names = ManualNames(own);
  for (std::string& name : ManualNames(mpi)) names.push_back(std::move(name));
  if (flags.list) {
    std::fputs(absl::StrCat(absl::StrJoin(names, "\n"), "\n").c_str(), stdout);
    return kDone;
  }
  const ManualFacts facts = {.program = ProgramName(), .date = ReleaseDate()};
  const std::string& wanted = flags.page.empty() ? own.itself.name : flags.page;
  std::optional<std::string> text = ManualPage(own, wanted, facts, {mpi.itself.name});
  if (!text.has_value()) text = ManualPage(mpi, wanted, facts, {own.itself.name, "mpirun"});
  if (!text.has_value()) return Fail(NoneOf("COMMAND", wanted, names), Phase::kPlanning);
  std::fputs(text->c_str(), stdout);
  return kDone;
}

}  // namespace

void AddManual(Commands& commands) {
  const auto flags = std::make_shared<ManualFlags>();
  CLI::App& command =
      commands.Add("manual", "Print a manual page: merganser manual merge | man -l -",
                   [flags, &app = commands.app()] { return Run(app, *flags); });
  CLI::Option* page = command.add_option("COMMAND", flags->page,
                                         "Command, or merganser-mpi (default: the program itself)");
  command.add_flag("--list", flags->list, "List the pages there are")->excludes(page);
}

}  // namespace merganser::cli
