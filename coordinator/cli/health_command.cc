// `merganser health`.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "absl/status/status.h"
#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/service/client.h"

namespace merganser::cli {
namespace {

int Ask(MergeClient& client) {
  const absl::Status health = client.Health();
  if (!health.ok()) return Fail(health, Phase::kPlanning);
  std::printf("serving\n");
  return kDone;
}

}  // namespace

void AddHealth(Commands& commands) {
  const auto coordinator = std::make_shared<Target>();
  CLI::App& command = commands.Add("health", "Ask whether a coordinator serves",
                                   [coordinator] { return RunClient(*coordinator, Ask); });
  AddTarget(command, *coordinator);
}

}  // namespace merganser::cli
