// What commands that call a coordinator share: which one, as whom, and what the system has to have
// for that.
#ifndef MERGANSER_COORDINATOR_CLI_CLIENT_RUN_H_
#define MERGANSER_COORDINATOR_CLI_CLIENT_RUN_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/process_limits.h"
#include "proto/channel/security.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser {
class MergeClient;
struct JobInfo;
}  // namespace merganser

namespace merganser::cli {

inline constexpr char kDefaultCoordinator[] = "127.0.0.1:7470";

// Which coordinator, and how and as whom.
struct Target {
  std::string address = kDefaultCoordinator;
  ChannelSecurity security = {};
};

// --coordinator, and how to connect to it.
void AddTarget(CLI::App& command, Target& target);
// JOB.
void AddJob(CLI::App& command, std::string& job);

// Whether the system allows this process what `needs` and TLS take; `target` gets the token of the
// environment, where none was given. Before the first thread of gRPC's starts.
absl::Status ReadyToCall(ProcessNeeds needs, Target& target);

// gRPC's own lines are for debugging: a client's errors are one line.
void QuietGrpc();

// Runs `run` with a client of the coordinator; the exit code.
int RunClient(Target target, const std::function<int(MergeClient&)>& run);
// The same of a command that goes on until it is told to stop.
int RunClient(Target target, const std::function<int(MergeClient&, InterruptWatcher&)>& run);

// Reports what a call about one job came to: the job, for people, or why not. The exit code.
int ShowJob(const absl::StatusOr<JobInfo>& job);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_CLIENT_RUN_H_
