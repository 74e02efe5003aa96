// `merganser worker`.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/descriptors.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/http_flags.h"
#include "coordinator/cli/http_site.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/metrics_file.h"
#include "coordinator/cli/metrics_flags.h"
#include "coordinator/cli/process_limits.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/security_flags.h"
#include "coordinator/cli/store_flags.h"
#include "coordinator/cli/version.h"
#include "coordinator/service/library_log.h"
#include "proto/channel/channel.h"
#include "worker/logged_source.h"
#include "worker/sources/grpc/grpc_source.h"
#include "worker/unit_runner.h"

namespace merganser::cli {
namespace {

struct WorkerFlags {
  Target coordinator;
  std::vector<std::string> roots;
  StoreOptions storage;
  int threads = AllCores();
  uint64_t memory = 0;
  MetricsFlags metrics;
  HttpFlags http;
  LogFlags log;
};

// How long a worker that stops waits to hand over its last results.
constexpr std::chrono::seconds kFinishTimeout(30);

int Run(const WorkerFlags& flags, InterruptWatcher& interrupts) {
  RaiseDescriptorLimit();
  if (flags.memory <= kProcessMemory) {
    return Fail(absl::InvalidArgumentError(absl::StrCat(
                    "--memory: found ", FormatBytes(flags.memory), ", expected more than the ",
                    FormatBytes(kProcessMemory), " that the program itself takes")),
                Phase::kPlanning);
  }
  const Target& coordinator = flags.coordinator;
  absl::Status usable = CheckSecurity(coordinator.address, coordinator.security);
  absl::StatusOr<AllowedRoots> roots = MakeRoots(flags.roots, "the worker");
  if (usable.ok()) usable = roots.status();
  if (!usable.ok()) return Fail(usable, Phase::kPlanning);
  GrpcSourceOptions options;
  options.coordinator = coordinator.address;
  options.security = coordinator.security;
  StoreOptions storage = flags.storage;
  storage.roots = *std::move(roots);
  options.stores = Stores(std::move(storage));
  options.worker = MakeWorkerName();
  options.threads = flags.threads;
  options.memory = flags.memory - kProcessMemory;
  options.simd = std::string(ActiveSimd());
  options.version = ProgramName();
  options.log = ProcessLog();
  if (flags.log.level == LogLevel::kDebug) BoundLibraryLogs(ProcessLog());
  const MetricsFile metrics(flags.metrics.file, options.stores.metrics(), flags.metrics.labels,
                            flags.metrics.period);
  absl::StatusOr<std::unique_ptr<HttpSite>> http =
      HttpSite::OpenWorkers(flags.http, ProcessLog(), options.stores.metrics());
  if (!http.ok()) return Fail(http.status(), Phase::kPlanning);
  if (const absl::Status serves = (*http)->ServeWorker(flags.metrics.labels); !serves.ok()) {
    return Fail(serves, Phase::kPlanning);
  }
  if (const std::string where = (*http)->address(); !where.empty()) {
    std::printf("serving %s\n", where.c_str());
    std::fflush(stdout);
  }
  GrpcUnitSource source(options);
  const HandlerScope handlers(interrupts);
  interrupts.SetHandler([&source] {
    Log(LogLevel::kInfo, "draining: units in progress are finished, the rest goes back");
    source.Stop();
  });
  RunnerOptions runner;
  runner.threads = flags.threads;
  runner.memory = options.memory;
  runner.worker = options.worker;
  runner.metrics = options.stores.metrics();
  Log(LogLevel::kInfo,
      absl::StrCat(ProgramName(), " works with ", flags.threads, " threads and ",
                   FormatBytes(flags.memory), " (", std::string(ActiveSimd()), ")"),
      {{"worker", options.worker}});
  LoggedSource logged(source, options.worker, ProcessLog());
  absl::Status status = RunUnits(logged, runner);
  interrupts.ClearHandler();
  if (status.ok()) status = source.Finish(kFinishTimeout);
  // A unit's failure goes to the coordinator: what is denied here is the worker itself.
  const bool denied = absl::IsPermissionDenied(status);
  return status.ok() ? kDone : Fail(status, denied ? Phase::kPlanning : Phase::kRunning);
}

// Where the system allows this process what it takes.
int RunWithin(WorkerFlags& flags) {
  if (flags.log.level != LogLevel::kDebug) QuietGrpc();
  ProcessNeeds needs = WorkerNeeds(flags.threads, flags.memory);
  if (!flags.http.listen.empty()) needs.threads += kHttpThreads;
  if (const absl::Status ready = ReadyToCall(needs, flags.coordinator); !ready.ok()) {
    return Fail(ready, Phase::kPlanning);
  }
  return WithInterrupts([&](InterruptWatcher& interrupts) { return Run(flags, interrupts); });
}

void AddFlags(CLI::App& command, WorkerFlags& flags) {
  AddMetricsFlags(command, flags.metrics);
  AddWorkerHttp(&command, flags.http);
  AddLogFlags(command, flags.log, /*standing=*/true);
  AddTarget(command, flags.coordinator);
  AddRoots(&command, flags.roots);
  AddStoreFlags(command, flags.storage);
  AddThreads(command, flags.threads);
  AddMemory(command, flags.memory);
}

}  // namespace

void AddWorker(Commands& commands) {
  const auto flags = std::make_shared<WorkerFlags>();
  const std::shared_ptr<const LogFlags> log(flags, &flags->log);
  CLI::App& command = commands.Add(
      "worker", "Work for a coordinator until told to stop", [flags] { return RunWithin(*flags); },
      log);
  AddFlags(command, *flags);
}

}  // namespace merganser::cli
