// `merganser priority`.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/job_text.h"
#include "coordinator/service/client.h"

namespace merganser::cli {
namespace {

struct PriorityFlags {
  Target coordinator;
  std::string job;
  int priority = 0;
};

}  // namespace

void AddPriority(Commands& commands) {
  const auto flags = std::make_shared<PriorityFlags>();
  CLI::App& command = commands.Add("priority", "Change the priority of a job", [flags] {
    return RunClient(flags->coordinator, [&](MergeClient& client) {
      return ShowJob(client.SetPriority(FullJobName(flags->job), flags->priority));
    });
  });
  AddJob(command, flags->job);
  command.add_option("PRIORITY", flags->priority, "As submit has it")
      ->required()
      ->check(CLI::Range(-1000, 1000));
  AddTarget(command, flags->coordinator);
}

}  // namespace merganser::cli
