#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "coordinator/cli/completion.h"

namespace merganser::cli {
namespace {

// Within single quotes, in a specification of _arguments or _describe.
std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"\\", "\\\\"}, {"'", "'\\''"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}});
}

std::string ActionOf(const OutlineOption& option) {
  if (!option.choices.empty()) {
    return absl::StrCat("(", Escaped(absl::StrJoin(option.choices, " ")), ")");
  }
  return IsNoPath(option) ? " " : "_files";
}

// Specifications of _arguments, a line each.
std::vector<std::string> Specifications(const OutlineCommand& command) {
  std::vector<std::string> lines;
  for (const OutlineOption& option : command.options) {
    const bool value = !option.value.empty();
    // A flag that is given is not offered again, under none of its names.
    const std::string given =
        option.repeats ? "*" : absl::StrCat("(", absl::StrJoin(option.names, " "), ")");
    for (const std::string& name : option.names) {
      lines.push_back(absl::StrCat(
          "'", given, name, value ? (name.starts_with("--") ? "=" : "+") : "", "[",
          Escaped(option.description), "]",
          value ? absl::StrCat(":", Escaped(option.value), ":", ActionOf(option)) : "", "'"));
    }
  }
  int place = 1;
  for (const OutlineOption& argument : command.arguments) {
    lines.push_back(absl::StrCat("'", argument.repeats ? "*" : absl::StrCat(place), ":",
                                 Escaped(argument.names.front()), ":", ActionOf(argument), "'"));
    ++place;
  }
  return lines;
}

void AppendArguments(const std::vector<std::string>& specifications, std::string_view indent,
                     std::string& script) {
  const std::string at(indent);
  absl::StrAppend(&script, at, "_arguments -s -S");
  for (const std::string& line : specifications) {
    absl::StrAppend(&script, " \\\n", at, "  ", line);
  }
  script += "\n";
}

}  // namespace

std::string ZshCompletion(const OutlineProgram& program) {
  const std::string& name = program.itself.name;
  std::string script =
      absl::StrCat("#compdef ", name, "\n# Made of the program's flags.\n_", name, "() {\n");
  if (program.commands.empty()) {
    AppendArguments(Specifications(program.itself), "  ", script);
  } else {
    script += "  local curcontext=$curcontext state line\n  typeset -A opt_args\n";
    std::vector<std::string> own = Specifications(program.itself);
    own.emplace_back("'1:command:->command'");
    own.emplace_back("'*::argument:->argument'");
    own.insert(own.begin(), "-C");
    AppendArguments(own, "  ", script);
    script += "  case $state in\n    command)\n      local -a commands=(\n";
    for (const OutlineCommand& command : program.commands) {
      absl::StrAppend(&script, "        '", command.name, ":", Escaped(command.description), "'\n");
    }
    script +=
        "      )\n      _describe command commands\n      ;;\n"
        "    argument)\n      case $words[1] in\n";
    for (const OutlineCommand& command : program.commands) {
      absl::StrAppend(&script, "        ", command.name, ")\n");
      AppendArguments(Specifications(command), "          ", script);
      script += "          ;;\n";
    }
    script += "      esac\n      ;;\n  esac\n";
  }
  absl::StrAppend(&script, "}\n_", name, " \"$@\"\n");
  return script;
}

}  // namespace merganser::cli
