#include "coordinator/cli/parse.h"

#include <CLI/CLI.hpp>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/mergekit_flags.h"

namespace merganser::cli {
namespace {

// Whether the command is one to which mergekit's command lines are like.
bool ReadsRecipe(const CLI::App& app, int argc, char** argv) {
  if (app.get_subcommands(nullptr).empty()) return true;  // a program of one command
  if (argc < 2) return false;
  const std::string_view command = argv[1];
  return command == "merge" || command == "plan" || command == "analyze" || command == "submit";
}

}  // namespace

std::optional<int> Parse(CLI::App& app, int argc, char** argv,
                         const std::function<void(const absl::Status&)>& refuse,
                         std::vector<std::string>& notes) {
  std::vector<char*> arguments(argv, argv + argc);
  if (ReadsRecipe(app, argc, argv)) {
    absl::StatusOr<MergekitFlags> taken = TakeMergekitFlags(arguments);
    if (!taken.ok()) {
      refuse(taken.status());
      return kWrongRequest;
    }
    arguments = std::move(taken->rest);
    notes = std::move(taken->notes);
  }
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    refuse(absl::InvalidArgumentError(
        absl::StrCat(OneLine(error.what()), "; see ", app.get_name(), " --help")));
    return kWrongRequest;
  }
  return std::nullopt;
}

}  // namespace merganser::cli
