// Flags of the commands that make and list jobs.
#ifndef MERGANSER_COORDINATOR_CLI_JOBS_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_JOBS_FLAGS_H_

#include <map>
#include <string>

#include "coordinator/cli/commands.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// --label KEY=VALUE, each key once.
void AddLabels(CLI::App& command, std::map<std::string, std::string>& labels);

// --state, --filter, --order-by, --limit and --json.
void AddListFlags(CLI::App& command, ListFlags& flags);

// `flags`' filter and states as one filter. What the user wrote stands first in it, so that errors
// name the place in it.
std::string ListFilter(const ListFlags& flags);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_JOBS_FLAGS_H_
