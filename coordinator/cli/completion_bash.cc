#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "coordinator/cli/completion.h"

namespace merganser::cli {
namespace {

// In single quotes, for bash.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string Names(const OutlineCommand& command) {
  std::vector<std::string> names;
  for (const OutlineOption& option : command.options) {
    names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return absl::StrJoin(names, " ");
}

// Lines that set `words` and `paths` by what stands before the word: a case of the flags that take
// a value, and for all else the flags themselves.
void AppendCommand(const OutlineCommand& command, std::string_view indent,
                   const std::string& commands, std::string& script) {
  const std::string at(indent);
  absl::StrAppend(&script, at, "case $previous in\n");
  for (const OutlineOption& option : command.options) {
    if (option.value.empty()) continue;
    absl::StrAppend(&script, at, "  ", absl::StrJoin(option.names, " | "), ") ");
    if (!option.choices.empty()) {
      absl::StrAppend(&script, "words=", Quoted(absl::StrJoin(option.choices, " ")));
    } else {
      absl::StrAppend(&script, IsNoPath(option) ? ":" : "paths=yes");
    }
    script += " ;;\n";
  }
  absl::StrAppend(&script, at, "  *)\n", at, "    if [[ $current == -* ]]; then\n", at,
                  "      words=", Quoted(Names(command)), "\n", at, "    else\n");
  std::vector<std::string> words;
  if (!commands.empty()) words.push_back(commands);
  bool paths = false;
  for (const OutlineOption& argument : command.arguments) {
    words.insert(words.end(), argument.choices.begin(), argument.choices.end());
    paths |= argument.choices.empty() && !IsNoPath(argument);
  }
  absl::StrAppend(&script, at, "      words=", Quoted(absl::StrJoin(words, " ")), "\n");
  if (paths) absl::StrAppend(&script, at, "      paths=yes\n");
  absl::StrAppend(&script, at, "    fi\n", at, "    ;;\n", at, "esac\n");
}

}  // namespace

bool IsNoPath(const OutlineOption& option) {
  return option.value == "INT" || option.value == "UINT" || option.value == "FLOAT" ||
         option.names.front() == "JOB" || option.names.front() == "COMMAND";
}

std::string BashCompletion(const OutlineProgram& program) {
  const std::string& name = program.itself.name;
  const std::string function = absl::StrCat("_", absl::StrReplaceAll(name, {{"-", "_"}}));
  std::string script = absl::StrCat(
      "# bash completion for ", name, ", made of the program's flags.\n", function, "() {\n",
      "  local current=${COMP_WORDS[COMP_CWORD]} previous= command= words= paths= i\n"
      "  if ((COMP_CWORD > 0)); then previous=${COMP_WORDS[COMP_CWORD - 1]}; fi\n"
      "  # --flag=value is three words.\n"
      "  if [[ $current == = ]]; then\n"
      "    current=\n"
      "  elif [[ $previous == = ]] && ((COMP_CWORD > 1)); then\n"
      "    previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
      "  fi\n");
  if (program.commands.empty()) {
    AppendCommand(program.itself, "  ", "", script);
  } else {
    absl::StrAppend(&script,
                    "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
                    "    if [[ ${COMP_WORDS[i]} != -* ]]; then\n"
                    "      command=${COMP_WORDS[i]}\n"
                    "      break\n"
                    "    fi\n"
                    "  done\n"
                    "  case $command in\n");
    const std::string commands = absl::StrJoin(
        program.commands, " ",
        [](std::string* out, const OutlineCommand& command) { out->append(command.name); });
    absl::StrAppend(&script, "    '')\n");
    AppendCommand(program.itself, "      ", commands, script);
    script += "      ;;\n";
    for (const OutlineCommand& command : program.commands) {
      absl::StrAppend(&script, "    ", command.name, ")\n");
      AppendCommand(command, "      ", "", script);
      script += "      ;;\n";
    }
    script += "  esac\n";
  }
  absl::StrAppend(&script,
                  "  COMPREPLY=()\n"
                  "  if [[ -n $words ]]; then\n"
                  "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
                  "  fi\n"
                  "  # Where nothing is found, paths are what the shell completes.\n"
                  "  if [[ -z $paths ]]; then compopt +o default 2>/dev/null; fi\n"
                  "  return 0\n"
                  "}\n"
                  "complete -o default -F ",
                  function, " ", name, "\n");
  return script;
}

}  // namespace merganser::cli
