// `merganser watch`.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/follow_job.h"
#include "coordinator/cli/job_text.h"

namespace merganser::cli {
namespace {

struct WatchFlags {
  Target coordinator;
  std::string job;
  bool json = false;  // a line for every change
};

}  // namespace

void AddWatch(Commands& commands) {
  const auto flags = std::make_shared<WatchFlags>();
  CLI::App& command = commands.Add("watch", "Follow a job to its end", [flags] {
    return RunClient(flags->coordinator, [&](MergeClient& client, InterruptWatcher& interrupts) {
      const std::string name = FullJobName(flags->job);
      return flags->json ? FollowAsJson(client, name, interrupts)
                         : Follow(client, name, interrupts);
    });
  });
  AddJob(command, flags->job);
  AddTarget(command, flags->coordinator);
  command.add_flag("--json", flags->json, "Print a line of JSON for every change");
}

}  // namespace merganser::cli
