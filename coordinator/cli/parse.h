// A command line, parsed: what both programs do with one.
#ifndef MERGANSER_COORDINATOR_CLI_PARSE_H_
#define MERGANSER_COORDINATOR_CLI_PARSE_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// Parses the command line. An exit code when the program has nothing more to do:
// help or the version were printed, or `refuse` was told what is wrong. Of commands that read a
// recipe, mergekit's flags are recognised: `notes` gets a line for each that is needless.
std::optional<int> Parse(CLI::App& app, int argc, char** argv,
                         const std::function<void(const absl::Status&)>& refuse,
                         std::vector<std::string>& notes);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_PARSE_H_
