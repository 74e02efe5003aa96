#include "coordinator/cli/client_run.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/job_text.h"
#include "coordinator/cli/security_flags.h"
#include "coordinator/service/client.h"

namespace merganser::cli {
namespace {

// How often gRPC looks at a connection that is being made while no call waits for it: calls fail at
// once then. A TLS handshake takes three looks, which at gRPC's own pace (5 s) is longer than it
// may take, so that a coordinator that is back would not be found for minutes.
constexpr char kLookAtConnectionsMs[] = "200";

}  // namespace

void AddTarget(CLI::App& command, Target& target) {
  command.add_option("--coordinator", target.address, "HOST:PORT of the coordinator")
      ->default_str(kDefaultCoordinator);
  AddClientSecurity(&command, target.security);
}

void AddJob(CLI::App& command, std::string& job) {
  command.add_option("JOB", job, "jobs/ID, or ID")->required();
}

absl::Status ReadyToCall(ProcessNeeds needs, Target& target) {
  setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", kLookAtConnectionsMs, /*overwrite=*/0);
  if (target.security.token_file.empty()) target.security.token = TokenFromEnvironment();
  if (!target.security.tls_ca.empty()) needs.threads += kTlsThreads;
  return CheckProcessLimits(ReadProcessLimits(), needs);
}

void QuietGrpc() { setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0); }

int RunClient(Target target, const std::function<int(MergeClient&)>& run) {
  QuietGrpc();
  if (const absl::Status ready = ReadyToCall(ClientNeeds(), target); !ready.ok()) {
    return Fail(ready, Phase::kPlanning);
  }
  MergeClient client(target.address, target.security);
  return run(client);
}

int RunClient(Target target, const std::function<int(MergeClient&, InterruptWatcher&)>& run) {
  QuietGrpc();
  if (const absl::Status ready = ReadyToCall(ClientNeeds(), target); !ready.ok()) {
    return Fail(ready, Phase::kPlanning);
  }
  return WithInterrupts([&](InterruptWatcher& interrupts) {
    MergeClient client(target.address, target.security);
    return run(client, interrupts);
  });
}

int ShowJob(const absl::StatusOr<JobInfo>& job) {
  if (!job.ok()) return Fail(job.status(), Phase::kPlanning);
  std::fputs(JobText(*job).c_str(), stdout);
  return kDone;
}

}  // namespace merganser::cli
