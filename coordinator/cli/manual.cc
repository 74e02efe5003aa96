#include "coordinator/cli/manual.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/cli/roff.h"

namespace merganser::cli {
namespace {

// CLI11's heading of flags that have no other.
constexpr std::string_view kPlainGroup = "Options";

std::string Sentence(std::string_view text) {
  std::string sentence(absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size())));
  if (!sentence.empty() && !sentence.ends_with('.')) sentence += '.';
  return sentence;
}

void Heading(std::string_view name, std::string& page) {
  absl::StrAppend(&page, ".SH ", std::string(name), "\n");
}

// A tagged paragraph; `tag` is roff already.
void Entry(std::string_view tag, std::string_view text, std::string& page) {
  absl::StrAppend(&page, ".TP\n", std::string(tag), "\n");
  const std::string lines = RoffLines(RoffText(text));
  page += lines.empty() ? "\\&\n" : lines;
}

std::string SpacedName(const OutlineOption& option) {
  return option.names.front() + (option.repeats ? "..." : "");
}

// What a flag's entry says, beside its description.
std::string TextOf(const OutlineOption& option) {
  std::vector<std::string> sentences = {Sentence(option.description)};
  if (!option.choices.empty()) {
    sentences.push_back(absl::StrCat("One of ", absl::StrJoin(option.choices, ", "), "."));
  }
  if (!option.limits.empty()) sentences.push_back(absl::StrCat("From ", option.limits, "."));
  if (!option.default_value.empty()) {
    sentences.push_back(absl::StrCat("Default: ", option.default_value, "."));
  }
  if (!option.variable.empty()) {
    sentences.push_back(absl::StrCat("Also taken from ", option.variable, " in the environment."));
  }
  if (!option.needs.empty()) {
    sentences.push_back(absl::StrCat("Only with ", absl::StrJoin(option.needs, " and "), "."));
  }
  if (!option.excludes.empty()) {
    sentences.push_back(absl::StrCat("Not with ", absl::StrJoin(option.excludes, " or "), "."));
  }
  std::erase(sentences, "");
  return absl::StrJoin(sentences, " ");
}

std::string TagOf(const OutlineOption& option) {
  std::string tag =
      absl::StrJoin(option.names, ", ",
                    [](std::string* out, const std::string& name) { out->append(RoffBold(name)); });
  if (!option.value.empty()) absl::StrAppend(&tag, " ", RoffItalic(option.value));
  if (option.repeats) tag += " ...";
  return tag;
}

void Synopsis(const OutlineCommand& command, const std::string& called, bool has_commands,
              std::string& page) {
  Heading("SYNOPSIS", page);
  std::string line = RoffBold(called);
  if (!command.options.empty()) absl::StrAppend(&line, " [", RoffItalic("OPTION"), "]...");
  if (has_commands) absl::StrAppend(&line, " ", RoffItalic("COMMAND"), " ...");
  for (const OutlineOption& argument : command.arguments) {
    const std::string name =
        absl::StrCat(RoffItalic(argument.names.front()), argument.repeats ? "..." : "");
    absl::StrAppend(&line, " ", argument.required ? name : absl::StrCat("[", name, "]"));
  }
  page += RoffLines(line);
}

void Arguments(const OutlineCommand& command, std::string& page) {
  if (command.arguments.empty()) return;
  Heading("ARGUMENTS", page);
  for (const OutlineOption& argument : command.arguments) {
    Entry(RoffItalic(SpacedName(argument)), TextOf(argument), page);
  }
}

void Options(const OutlineCommand& command, std::string& page) {
  if (command.options.empty()) return;
  Heading("OPTIONS", page);
  std::vector<std::string> groups = {std::string(kPlainGroup)};
  for (const OutlineOption& option : command.options) {
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) {
      groups.push_back(option.group);
    }
  }
  for (const std::string& group : groups) {
    if (group != kPlainGroup) absl::StrAppend(&page, ".SS ", RoffText(group), "\n");
    for (const OutlineOption& option : command.options) {
      if (option.group == group) Entry(TagOf(option), TextOf(option), page);
    }
  }
}

void ExitStatus(std::string& page) {
  Heading("EXIT STATUS", page);
  for (const ManualEntry& code : ManualExitCodes()) {
    Entry(RoffBold(code.name), code.meaning, page);
  }
}

void Environment(const OutlineCommand& command, bool whole, std::string_view first,
                 std::string& page) {
  Heading("ENVIRONMENT", page);
  if (!whole) {
    absl::StrAppend(&page, ".BR ", RoffName(first), " (1)\n",
                    "tells which variables all commands heed.\n");
  } else {
    for (const ManualEntry& variable : ManualVariables()) {
      Entry(RoffBold(variable.name), variable.meaning, page);
    }
  }
  for (const OutlineOption& option : command.options) {
    if (option.variable.empty()) continue;
    Entry(RoffBold(option.variable), absl::StrCat("As ", option.names.back(), "."), page);
  }
}

void SeeAlso(const std::vector<std::string>& names, std::string& page) {
  if (names.empty()) return;
  Heading("SEE ALSO", page);
  for (const std::string& name : names) {
    absl::StrAppend(&page, ".BR ", RoffName(name), " (1)", name == names.back() ? "" : ",", "\n");
  }
}

std::string PageName(const OutlineProgram& program, const OutlineCommand& command) {
  return absl::StrCat(program.itself.name, "-", command.name);
}

std::string Page(const OutlineProgram& program, const OutlineCommand& command,
                 const ManualFacts& facts, const std::vector<std::string>& others) {
  const bool whole = &command == &program.itself;
  const std::string name = whole ? command.name : PageName(program, command);
  std::string page = ".\\\" Made of the program's flags.\n";
  absl::StrAppend(&page, ".TH \"", RoffName(absl::AsciiStrToUpper(name)), "\" 1 \"", facts.date,
                  "\" \"", RoffText(facts.program), "\" \"Merganser\"\n");
  Heading("NAME", page);
  std::string summary = command.description;
  if (summary.ends_with('.')) summary.pop_back();
  page += RoffLines(absl::StrCat(RoffName(name), " \\- ", RoffText(summary)));
  Synopsis(command, whole ? command.name : absl::StrCat(program.itself.name, " ", command.name),
           whole && !program.commands.empty(), page);
  Heading("DESCRIPTION", page);
  page += RoffLines(RoffText(Sentence(command.description)));
  if (!command.footer.empty()) {
    absl::StrAppend(&page, ".PP\n", RoffLines(RoffText(Sentence(command.footer))));
  }
  std::vector<std::string> see;
  if (whole && !program.commands.empty()) {
    Heading("COMMANDS", page);
    for (const OutlineCommand& other : program.commands) {
      Entry(RoffBold(other.name), Sentence(other.description), page);
      see.push_back(PageName(program, other));
    }
  }
  if (!whole) see.push_back(program.itself.name);
  Arguments(command, page);
  Options(command, page);
  ExitStatus(page);
  Environment(command, whole, program.itself.name, page);
  see.insert(see.end(), others.begin(), others.end());
  SeeAlso(see, page);
  return page;
}

}  // namespace

std::vector<std::string> ManualNames(const OutlineProgram& program) {
  std::vector<std::string> names = {program.itself.name};
  names.reserve(1 + program.commands.size());
  for (const OutlineCommand& command : program.commands) {
    names.push_back(PageName(program, command));
  }
  return names;
}

std::optional<std::string> ManualPage(const OutlineProgram& program, std::string_view name,
                                      const ManualFacts& facts,
                                      const std::vector<std::string>& others) {
  if (name == program.itself.name) return Page(program, program.itself, facts, others);
  for (const OutlineCommand& command : program.commands) {
    if (name == command.name || name == PageName(program, command)) {
      return Page(program, command, facts, {});
    }
  }
  return std::nullopt;
}

}  // namespace merganser::cli
