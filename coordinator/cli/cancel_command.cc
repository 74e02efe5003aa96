// `merganser cancel`.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/job_text.h"
#include "coordinator/service/client.h"

namespace merganser::cli {
namespace {

struct CancelFlags {
  Target coordinator;
  std::string job;
};

}  // namespace

void AddCancel(Commands& commands) {
  const auto flags = std::make_shared<CancelFlags>();
  CLI::App& command = commands.Add("cancel", "Cancel a job", [flags] {
    return RunClient(flags->coordinator, [&](MergeClient& client) {
      return ShowJob(client.Cancel(FullJobName(flags->job)));
    });
  });
  AddJob(command, flags->job);
  AddTarget(command, flags->coordinator);
}

}  // namespace merganser::cli
