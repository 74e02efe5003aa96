// `merganser get`.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/job_text.h"
#include "coordinator/service/client.h"

namespace merganser::cli {
namespace {

struct GetFlags {
  Target coordinator;
  std::string job;
  bool json = false;
};

int Get(MergeClient& client, const GetFlags& flags) {
  const absl::StatusOr<JobInfo> job = client.Get(FullJobName(flags.job));
  if (!job.ok() || !flags.json) return ShowJob(job);
  std::fputs(JobJson(*job).c_str(), stdout);
  return kDone;
}

}  // namespace

void AddGet(Commands& commands) {
  const auto flags = std::make_shared<GetFlags>();
  CLI::App& command = commands.Add("get", "Show one job", [flags] {
    return RunClient(flags->coordinator, [&](MergeClient& client) { return Get(client, *flags); });
  });
  AddJob(command, flags->job);
  AddTarget(command, flags->coordinator);
  command.add_flag("--json", flags->json, "Print JSON");
}

}  // namespace merganser::cli
