// Manual pages of a program and its commands, in man(7)'s macros: what the flags say of
// themselves, exit codes, and the environment.
#ifndef MERGANSER_COORDINATOR_CLI_MANUAL_H_
#define MERGANSER_COORDINATOR_CLI_MANUAL_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/cli/outline.h"

namespace merganser::cli {

// What a manual has beside flags.
struct ManualFacts {
  std::string program;  // "merganser 0.2.0"
  std::string date;     // of the release, "2026-11-30"
};

// A variable of the environment, or an exit code, and what it means.
struct ManualEntry {
  std::string_view name;
  std::string_view meaning;
};
std::span<const ManualEntry> ManualVariables();
std::span<const ManualEntry> ManualExitCodes();

// Names of the pages, without section: "merganser", "merganser-merge", ...
std::vector<std::string> ManualNames(const OutlineProgram& program);

// The page `name` of ManualNames, or of the command that is called so; nullopt where there is
// none. `others`: further pages of section 1 to name at its end.
std::optional<std::string> ManualPage(const OutlineProgram& program, std::string_view name,
                                      const ManualFacts& facts,
                                      const std::vector<std::string>& others);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MANUAL_H_
