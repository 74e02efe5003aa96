// `merganser coordinator`.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/descriptors.h"
#include "common/base/log_queue.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
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
#include "coordinator/journal/journal.h"
#include "coordinator/service/job_store.h"
#include "coordinator/service/library_log.h"
#include "coordinator/service/metered_job_store.h"
#include "coordinator/service/server.h"

namespace merganser::cli {
namespace {

struct CoordinatorFlags {
  std::string listen = kDefaultCoordinator;
  std::string state;  // folder of the journal; empty: jobs are kept in memory
  int active_jobs = 4;
  int keep_jobs = 1000;
  int keep_days = 30;       // 0: for ever
  int worker_timeout = 30;  // seconds
  int call_threads = 256;   // that serve calls, at most
  ServerSecurity security;
  std::vector<std::string> roots;  // of `security`, as they were given
  StoreOptions storage;
  MetricsFlags metrics;
  HttpFlags http;
  LogFlags log;
};

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

int Run(const CoordinatorFlags& flags, InterruptWatcher& interrupts) {
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

// Where the system allows this process what it takes, with as many threads for calls as that
// leaves.
int RunWithin(CoordinatorFlags& flags) {
  flags.security.token = TokenFromEnvironment();
  const ProcessLimits limits = ReadProcessLimits();
  ProcessNeeds needs = CoordinatorNeeds(flags.active_jobs);
  if (!flags.http.listen.empty()) needs.threads += kHttpThreads;
  if (const absl::Status room = CheckProcessLimits(limits, needs); !room.ok()) {
    return Fail(room, Phase::kPlanning);
  }
  flags.call_threads = ThreadsForCalls(limits, needs, flags.call_threads);
  return WithInterrupts([&](InterruptWatcher& interrupts) { return Run(flags, interrupts); });
}

void AddFlags(CLI::App& command, CoordinatorFlags& flags) {
  command.add_option("--listen", flags.listen, "HOST:PORT to listen on; port 0 takes a free one")
      ->default_str(kDefaultCoordinator);
  command.add_option("--state", flags.state,
                     "Folder, on a disk of this machine, in which jobs outlive the coordinator "
                     "(default: they are kept in memory)");
  command
      .add_option("--active-jobs", flags.active_jobs,
                  "Jobs planned, run or published at a time; those that wait for storage or "
                  "workers do not count")
      ->check(CLI::Range(1, 64))
      ->default_str("4");
  command.add_option("--keep-jobs", flags.keep_jobs, "Jobs that have ended and are kept")
      ->check(CLI::Range(0, 1'000'000))
      ->default_str("1000");
  command.add_option("--keep-days", flags.keep_days, "Days for which they are kept; 0: for ever")
      ->check(CLI::Range(0, 36500))
      ->default_str("30");
  command
      .add_option("--worker-timeout", flags.worker_timeout,
                  "Seconds of silence after which a worker's units go to others")
      ->check(CLI::Range(1, 3600))
      ->default_str("30");
  AddMetricsFlags(command, flags.metrics);
  AddCoordinatorHttp(&command, flags.http);
  AddLogFlags(command, flags.log, /*standing=*/true);
  AddServerSecurity(&command, flags.security);
  AddRoots(&command, flags.roots);
  AddStoreFlags(command, flags.storage);
}

}  // namespace

void AddCoordinator(Commands& commands) {
  const auto flags = std::make_shared<CoordinatorFlags>();
  const std::shared_ptr<const LogFlags> log(flags, &flags->log);
  CLI::App& command = commands.Add(
      "coordinator", "Serve merge jobs to workers over gRPC", [flags] { return RunWithin(*flags); },
      log);
  AddFlags(command, *flags);
}

}  // namespace merganser::cli
