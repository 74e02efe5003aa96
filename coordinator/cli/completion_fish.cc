#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "coordinator/cli/completion.h"

namespace merganser::cli {
namespace {

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// `head`: "complete -c NAME", with the condition under which all of this holds.
void AppendCommand(const OutlineCommand& command, const std::string& head, std::string& script) {
  bool paths = false;
  for (const OutlineOption& argument : command.arguments) {
    if (!argument.choices.empty()) {
      absl::StrAppend(&script, head, " -f -a ", Quoted(absl::StrJoin(argument.choices, " ")), "\n");
    }
    paths |= argument.choices.empty() && !IsNoPath(argument);
  }
  if (!paths) absl::StrAppend(&script, head, " -f\n");
  for (const OutlineOption& option : command.options) {
    script += head;
    for (const std::string& name : option.names) {
      const bool is_long = name.starts_with("--");
      absl::StrAppend(&script, is_long ? " -l " : " -s ", name.substr(is_long ? 2 : 1));
    }
    if (!option.choices.empty()) {
      absl::StrAppend(&script, " -x -a ", Quoted(absl::StrJoin(option.choices, " ")));
    } else if (!option.value.empty()) {
      script += IsNoPath(option) ? " -x" : " -r -F";
    }
    absl::StrAppend(&script, " -d ", Quoted(option.description), "\n");
  }
}

}  // namespace

std::string FishCompletion(const OutlineProgram& program) {
  const std::string complete = absl::StrCat("complete -c ", program.itself.name);
  std::string script =
      absl::StrCat("# fish completion for ", program.itself.name, ", made of its flags.\n");
  if (program.commands.empty()) {
    AppendCommand(program.itself, complete, script);
    return script;
  }
  const std::string first = absl::StrCat(complete, " -n __fish_use_subcommand");
  AppendCommand(program.itself, first, script);
  for (const OutlineCommand& command : program.commands) {
    absl::StrAppend(&script, first, " -a ", command.name, " -d ", Quoted(command.description),
                    "\n");
  }
  for (const OutlineCommand& command : program.commands) {
    AppendCommand(command,
                  absl::StrCat(complete, " -n '__fish_seen_subcommand_from ", command.name, "'"),
                  script);
  }
  return script;
}

}  // namespace merganser::cli
