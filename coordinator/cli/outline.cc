#include "coordinator/cli/outline.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace merganser::cli {
namespace {

std::vector<std::string> NamesOf(const std::set<CLI::Option*>& options) {
  std::vector<std::string> names;
  names.reserve(options.size());
  for (const CLI::Option* option : options) names.push_back(option->get_name());
  // The set's order is that of addresses.
  std::sort(names.begin(), names.end());
  return names;
}

// CLI11 tells a value's type and what validators say of it in one text: "INT:INT in [1 - 64]",
// "TEXT:{md5,none}".
void TakeType(const CLI::Option& option, OutlineOption& outline) {
  if (option.get_type_size_max() == 0) return;
  const std::string type = option.get_type_name();
  const std::string_view text = type;
  const size_t colon = text.find(':');
  outline.value = option.get_option_text().empty() ? std::string(text.substr(0, colon))
                                                   : option.get_option_text();
  if (colon == std::string_view::npos) return;
  const std::string_view checks = text.substr(colon + 1);
  if (checks.starts_with('{') && checks.ends_with('}')) {
    outline.choices = absl::StrSplit(absl::string_view(checks.data() + 1, checks.size() - 2), ',');
  }
  const size_t range = checks.find(" in [");
  if (range != std::string_view::npos && checks.ends_with(']')) {
    const std::string_view inside = checks.substr(range + 5, checks.size() - range - 6);
    outline.limits = absl::StrReplaceAll(std::string(inside), {{" - ", " to "}});
  }
}

OutlineOption OutlineOf(const CLI::Option& option) {
  OutlineOption outline;
  if (option.nonpositional()) {
    for (const std::string& name : option.get_snames()) {
      outline.names.push_back(absl::StrCat("-", name));
    }
    for (const std::string& name : option.get_lnames()) {
      outline.names.push_back(absl::StrCat("--", name));
    }
  } else {
    outline.names.push_back(option.get_name(/*positional=*/true));
  }
  TakeType(option, outline);
  outline.description = option.get_description();
  outline.default_value = option.get_default_str();
  outline.variable = option.get_envname();
  outline.group = option.get_group();
  outline.needs = NamesOf(option.get_needs());
  outline.excludes = NamesOf(option.get_excludes());
  outline.required = option.get_required();
  // A flag may be repeated, to no effect.
  outline.repeats = !outline.value.empty() &&
                    (option.get_expected_max() > 1 ||
                     option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll);
  return outline;
}

OutlineCommand CommandOf(const CLI::App& app) {
  OutlineCommand command;
  command.name = app.get_name();
  command.description = app.get_description();
  command.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // hidden
    (option->nonpositional() ? command.options : command.arguments).push_back(OutlineOf(*option));
  }
  return command;
}

}  // namespace

OutlineProgram OutlineOf(const CLI::App& app) {
  OutlineProgram program;
  program.itself = CommandOf(app);
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (!command->get_group().empty()) program.commands.push_back(CommandOf(*command));
  }
  return program;
}

}  // namespace merganser::cli
