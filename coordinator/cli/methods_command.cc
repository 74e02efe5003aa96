// `merganser methods`.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "common/methods/registry.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/methods_text.h"

namespace merganser::cli {
namespace {

struct MethodsFlags {
  bool json = false;
  bool markdown = false;  // the README's table
};

int Run(const MethodsFlags& flags) {
  const std::string out = flags.json       ? MethodsJson(Methods())
                          : flags.markdown ? MethodsMarkdown(Methods())
                                           : MethodsText(Methods());
  std::fputs(out.c_str(), stdout);
  return kDone;
}

}  // namespace

void AddMethods(Commands& commands) {
  const auto flags = std::make_shared<MethodsFlags>();
  CLI::App& command = commands.Add("methods", "List the merge methods and their parameters",
                                   [flags] { return Run(*flags); });
  CLI::Option* json = command.add_flag("--json", flags->json, "Print JSON");
  command.add_flag("--markdown", flags->markdown, "Print a Markdown table")->excludes(json);
}

}  // namespace merganser::cli
