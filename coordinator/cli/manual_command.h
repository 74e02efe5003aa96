// `merganser manual` and `merganser completion`.
#ifndef MERGANSER_COORDINATOR_CLI_MANUAL_COMMAND_H_
#define MERGANSER_COORDINATOR_CLI_MANUAL_COMMAND_H_

#include <string>

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

struct ManualFlags {
  std::string page;   // a command, or a page's name; empty: the program's
  bool list = false;  // names of all pages instead
};
CLI::App* AddManualCommand(CLI::App& app, ManualFlags& flags);
// Prints a page of `app`, or of merganser-mpi. Returns an exit code.
int RunManual(const CLI::App& app, const ManualFlags& flags);

struct CompletionFlags {
  std::string shell;
  std::string program;  // empty: `app`'s
};
CLI::App* AddCompletionCommand(CLI::App& app, CompletionFlags& flags);
int RunCompletion(const CLI::App& app, const CompletionFlags& flags);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MANUAL_COMMAND_H_
