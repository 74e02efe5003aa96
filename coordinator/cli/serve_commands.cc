// Commands that stay: coordinator and worker.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/descriptors.h"
#include "common/base/log_queue.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/http_site.h"
#include "coordinator/cli/metrics_file.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/security_flags.h"
#include "coordinator/journal/journal.h"
#include "coordinator/service/job_store.h"
#include "coordinator/service/library_log.h"
#include "coordinator/service/metered_job_store.h"
#include "coordinator/service/server.h"
#include "proto/channel/channel.h"
#include "worker/logged_source.h"
#include "worker/sources/grpc/grpc_source.h"
#include "worker/unit_runner.h"

namespace merganser::cli {
namespace {

// How long a worker that stops waits to hand over its last results.
constexpr std::chrono::seconds kFinishTimeout(30);

// How often a coordinator looks whether its port answers, for how long it waits, and how often in
// a row it may look in vain.
constexpr std::chrono::seconds kPortCheckEvery(30), kPortPatience(30);
constexpr int kPortFailures = 3;

// Holds a thread until a signal comes.
class StopSignal {
 public:
  void Set() {
    MutexLock lock(mutex_);
    set_ = true;
    changed_.NotifyAll();
  }
  // Whether it was set within the time, or before.
  bool WaitFor(std::chrono::seconds time) {
    MutexLock lock(mutex_);
    if (!set_) changed_.WaitFor(mutex_, time);
    return set_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool set_ MERGANSER_GUARDED_BY(mutex_) = false;
};

absl::StatusOr<std::unique_ptr<JobStore>> OpenJobStore(const CoordinatorFlags& flags) {
  if (flags.state.empty()) return std::make_unique<MemoryJobStore>(SystemClock());
  JournalOptions options;
  options.directory = flags.state;
  return Journal::Open(options, SystemClock());
}

// Until it is told to stop. A coordinator that does not answer itself, three times in a row, ends
// the process: whatever holds it may hold an orderly end as well, and whoever supervises it starts
// it again.
void Serve(const Server& server, StopSignal& stop) {
  int failures = 0;
  while (!stop.WaitFor(kPortCheckEvery)) {
    const absl::Status answers = server.CheckPort(kPortPatience);
    failures = answers.ok() ? 0 : failures + 1;
    if (failures < kPortFailures) continue;
    std::_Exit(Fail(Annotate(answers, absl::StrCat("--listen ", server.address(),
                                                   ": found no answer, the process ends")),
                    Phase::kRunning));
  }
}

}  // namespace

int RunCoordinator(const CoordinatorFlags& flags, InterruptWatcher& interrupts) {
  RaiseDescriptorLimit();
  // Shared with the handler: returning early leaves that behind.
  const auto stop = std::make_shared<StopSignal>();
  interrupts.SetHandler([stop] { stop->Set(); });
  absl::StatusOr<std::unique_ptr<JobStore>> store = OpenJobStore(flags);
  if (!store.ok()) return Fail(store.status(), Phase::kPlanning);
  ServerOptions options;
  options.listen = flags.listen;
  options.call_threads = flags.call_threads;
  options.jobs.active_jobs = flags.active_jobs;
  options.jobs.finished_jobs = static_cast<size_t>(flags.keep_jobs);
  options.jobs.schedule.worker_timeout = std::chrono::seconds(flags.worker_timeout);
  options.jobs.schedule.heartbeat =
      std::min(options.jobs.schedule.heartbeat, options.jobs.schedule.worker_timeout / 4);
  options.jobs.finished_age = std::chrono::hours(24) * flags.keep_days;
  options.jobs.program = ProgramName();
  // Some of who tell hold locks.
  LogQueue log(ProcessLog());
  options.jobs.log = log.sink();
  options.security = flags.security;
  options.security.log = log.sink();
  BoundLibraryLogs(ProcessLog());
  absl::StatusOr<AllowedRoots> roots = MakeRoots(flags.roots, "the coordinator");
  if (!roots.ok()) return Fail(roots.status(), Phase::kPlanning);
  options.security.roots = *std::move(roots);
  StoreOptions storage = flags.storage;
  storage.roots = options.security.roots;
  const Stores stores(std::move(storage));
  options.jobs.metrics = stores.metrics();
  MeteredJobStore journal(**store, stores.metrics());
  MetricsFile metrics(flags.metrics.file, stores.metrics(), flags.metrics.labels,
                      flags.metrics.period);
  absl::StatusOr<std::unique_ptr<HttpSite>> http = HttpSite::OpenCoordinators(
      flags.http, options.security, absl::StrCat(flags.listen, " ", flags.state), stores.metrics());
  if (!http.ok()) return Fail(http.status(), Phase::kPlanning);
  options.kept_descriptors = (*http)->descriptors();
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(options, SystemClock(), journal, EngineJobRuns(stores));
  if (!server.ok()) return Fail(server.status(), Phase::kPlanning);
  if (const std::string token = (*server)->token_file(); !token.empty()) {
    Log(LogLevel::kInfo, absl::StrCat("this user's clients find their token in ", token));
  }
  if (const absl::Status serves = (*http)->ServeCoordinator(**server, flags.metrics.labels);
      !serves.ok()) {
    return Fail(serves, Phase::kRunning);
  }
  Log(LogLevel::kInfo, absl::StrCat(ProgramName(), " listens on ", (*server)->address()));
  std::printf("listening on %s\n", (*server)->address().c_str());
  if (const std::string where = (*http)->address(); !where.empty()) {
    std::printf("serving %s\n", where.c_str());
  }
  std::fflush(stdout);
  Serve(**server, *stop);
  Log(LogLevel::kInfo, (*store)->durable()
                           ? "stopping: jobs stay as they are and go on at the next start"
                           : "stopping: jobs that run are ended and their partial output removed");
  (*http)->Stop();
  (*server)->Shutdown();
  interrupts.ClearHandler();
  if ((*server)->jobs().left_behind() == 0) return kDone;
  // Nothing ends threads that hang in planning; they must find nothing taken down if they wake.
  server->reset();
  metrics.Close();
  log.Close();
  store->reset();
  std::fflush(nullptr);
  std::_Exit(kDone);
}

int RunWorker(const WorkerFlags& flags, InterruptWatcher& interrupts) {
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

}  // namespace merganser::cli
