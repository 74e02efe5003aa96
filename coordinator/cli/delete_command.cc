// `merganser delete`: one job after the other.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/status.h"
#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/job_text.h"
#include "coordinator/service/client.h"

namespace merganser::cli {
namespace {

struct DeleteFlags {
  Target coordinator;
  std::vector<std::string> jobs;
};

// The exit code of the first that failed.
int Delete(MergeClient& client, const std::vector<std::string>& jobs) {
  int code = kDone;
  for (const std::string& job : jobs) {
    const std::string name = FullJobName(job);
    const absl::Status deleted = client.Delete(name);
    if (deleted.ok()) {
      std::printf("deleted %s\n", OneLine(name).c_str());
      continue;
    }
    const int failed = Fail(deleted, Phase::kPlanning);
    if (code == kDone) code = failed;
  }
  return code;
}

}  // namespace

void AddDelete(Commands& commands) {
  const auto flags = std::make_shared<DeleteFlags>();
  CLI::App& command = commands.Add("delete", "Forget jobs that have ended; outputs stay", [flags] {
    return RunClient(flags->coordinator,
                     [&](MergeClient& client) { return Delete(client, flags->jobs); });
  });
  command.add_option("JOB", flags->jobs, "jobs/ID, or ID")->required();
  AddTarget(command, flags->coordinator);
}

}  // namespace merganser::cli
