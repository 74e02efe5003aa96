// A coordinator under everything at once: a fleet, people who watch, and pages.
//
// usage: service_load --merganser PROGRAM DIR [--seconds N] [--workers N] [--jobs N]
//                     [--records N] [--watchers N] [--pages N]
//
// Workload: the program `merganser coordinator` as it stands, its journal in DIR (which should be
// on a disk: every result is on record, with an fsync, before it counts) with RECORDS jobs that
// have ended. JOBS jobs run, resmerge of 8,001 matrices each. WORKERS workers call Sync every 2 s,
// each with a result of the size that resmerge has and for one new unit; WATCHERS follow one job
// each; PAGES pages of the dashboard have an event stream open and ask for the list every 5 s.
// Every one of them has a connection of its own, over loopback, and all are in this one process,
// whose share of the processors is printed beside the coordinator's. Workers do not fetch plans:
// that is once a job and worker, and nobody's heartbeat.
//
// Ends with 0 where the bar is held: the 99th percentile of Sync below 50 ms beyond that of the
// journal's commits, of the list below 100 ms, and no call failed.
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/descriptors.h"
#include "common/base/private_file.h"
#include "common/format/safetensors.h"
#include "coordinator/journal/journal.h"
#include "coordinator/service/client.h"
#include "coordinator/service/requests.h"
#include "grpcpp/grpcpp.h"
#include "proto/convert/plan_codec.h"
#include "proto/merganser/v1/worker_service.grpc.pb.h"
#include "tests/bench/load/fleet.h"
#include "tests/bench/load/load.h"
#include "tests/bench/load/pages.h"

namespace merganser::load {
namespace {

constexpr char kWork[] = "the-token-of-the-fleet";
constexpr char kWatch[] = "the-token-of-the-watchers";
constexpr char kPages[] = "the-token-of-the-pages";
constexpr char kTokens[] =
    "the-token-of-the-fleet work fleet\n"
    "the-token-of-the-watchers read,submit watchers\n"
    "the-token-of-the-pages read pages\n";
constexpr std::chrono::seconds kSyncEvery(2), kListEvery(5);
constexpr double kSyncBar = 0.050, kListBar = 0.100;

struct Options {
  std::string program, dir;
  int seconds = 300, workers = 1000, jobs = 20, records = 10'000, watchers = 500, pages = 50;
};

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  return (std::stringstream() << in.rdbuf()).str();
}

// Of zeros and without room on the disk: nobody reads them.
void WriteModels(const std::string& dir) {
  std::vector<SafetensorsSpec> tensors;
  for (int layer = 0; layer < 1143; ++layer) {
    for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                             "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
      tensors.push_back(
          {absl::StrCat("model.layers.", layer, ".", name, ".weight"), DType::kBF16, {64, 64}});
    }
  }
  const auto layout = LayOutSafetensors(tensors, {{"format", "pt"}});
  Check(layout.status());
  for (const char* model : {"base", "math", "code", "tools"}) {
    const std::string folder = absl::StrCat(dir, "/", model);
    std::filesystem::create_directories(folder);
    const std::string file = folder + "/model.safetensors";
    std::ofstream(file, std::ios::binary) << layout->header;
    std::filesystem::resize_file(file, layout->file_size);
    std::ofstream(folder + "/config.json") << "{\"model_type\": \"made-up\"}";
  }
}

constexpr char kRecipe[] =
    "merge_method: resmerge\n"
    "base_model: base\n"
    "models:\n"
    "  - model: math\n"
    "  - model: code\n"
    "  - model: tools\n"
    "unit_size: 1\n"
    "max_shard_size: 16MB\n";

// Jobs that ended, as a coordinator would have left them.
void FillJournal(const std::string& state, int records) {
  JournalOptions options;
  options.directory = state;
  auto journal = Journal::Open(options, SystemClock());
  Check(journal.status());
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 64; ++t) {  // who saves at once shares a commit
    threads.emplace_back([&] {
      for (int i; (i = next++) < records;) {
        JobRecord record;
        record.sequence = static_cast<uint64_t>(i + 1);
        JobInfo& info = record.info;
        std::array<char, 17> uid{};
        std::snprintf(uid.data(), uid.size(), "%016x", i);
        info.uid = uid.data();
        info.name = JobName(info.uid);
        info.owner = absl::StrCat("team-", i % 40);
        info.request.recipe = kRecipe;
        info.request.source_name = absl::StrCat("/recipes/", i % 100, "/resmerge.yaml");
        info.request.directories = {"/models"};
        info.request.output_uri = absl::StrCat("file:///merged/", i);
        info.request.labels = {{"campaign", absl::StrCat("week-", i % 50)}};
        info.method = "resmerge";
        info.models = {"base", "math", "code", "tools"};
        info.state = i % 10 == 0 ? JobState::kFailed : JobState::kSucceeded;
        if (info.state == JobState::kFailed) {
          info.error = absl::InternalError("unit 17: found a NaN, expected finite values");
          info.error_reason = "RUN_FAILED";
        }
        info.created = SystemClock().WallNow() - std::chrono::minutes(records - i);
        info.started = *info.created + std::chrono::seconds(5);
        info.finished = *info.created + std::chrono::minutes(7);
        info.progress.units_total = info.progress.units_done = 8001;
        info.verdict = "The experts clearly agree almost everywhere.";
        Check((*journal)->Save(record));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The coordinator, which ends with this process.
struct Coordinator {
  pid_t pid = 0;
  std::string address;
  int port = 0;  // HTTP

  double CpuSeconds() const {
    std::istringstream stat(ReadFile(absl::StrCat("/proc/", pid, "/stat")));
    std::string word;
    for (int i = 0; i < 13; ++i) stat >> word;
    double user = 0, system = 0;
    stat >> user >> system;
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  uint64_t PeakBytes() const {
    const std::string status = ReadFile(absl::StrCat("/proc/", pid, "/status"));
    const size_t at = status.find("VmHWM:");
    return at == std::string::npos ? 0 : std::stoull(status.substr(at + 6)) << 10;
  }
};

Coordinator StartCoordinator(const Options& options) {
  const std::string tokens = options.dir + "/tokens";
  Check(WritePrivateFile(tokens, kTokens).status());
  const std::string jobs = absl::StrCat(options.jobs), kept = absl::StrCat(options.records + 100);
  const std::string state = options.dir + "/state", log = options.dir + "/coordinator.log";
  const char* const argv[] = {
      options.program.c_str(), "coordinator", "--listen",    "127.0.0.1:0",  "--http",
      "127.0.0.1:0",           "--state",     state.c_str(), "--token-file", tokens.c_str(),
      "--active-jobs",         jobs.c_str(),  "--keep-jobs", kept.c_str(),   nullptr};
  int out[2];
  if (::pipe2(out, O_CLOEXEC) != 0) Check(absl::ErrnoToStatus(errno, "pipe"));
  Coordinator coordinator;
  coordinator.pid = ::fork();
  if (coordinator.pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(out[1], STDOUT_FILENO);
    const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ::dup2(file, STDERR_FILENO);
    ::execv(argv[0], const_cast<char* const*>(argv));
    ::_exit(127);
  }
  ::close(out[1]);
  std::string said;
  for (char c = 0; said.find("\nserving ") == std::string::npos || !said.ends_with('\n');) {
    if (::read(out[0], &c, 1) != 1) {
      Check(absl::UnavailableError(absl::StrCat("the coordinator ended: see ", log)));
    }
    said += c;
  }
  const size_t at = said.find("listening on ") + 13;
  coordinator.address = said.substr(at, said.find('\n', at) - at);
  coordinator.port = std::stoi(said.substr(said.rfind(':') + 1));
  return coordinator;
}

ChannelSecurity As(const char* token) {
  ChannelSecurity security;
  security.token = token;
  return security;
}

// Names of jobs that run.
std::vector<JobInfo> StartJobs(const Options& options, const std::string& address) {
  MergeClient client(address, As(kWatch));
  std::vector<JobInfo> jobs;
  for (int i = 0; i < options.jobs; ++i) {
    JobRequest request;
    request.recipe = kRecipe;
    request.source_name = "load.yaml";
    request.directories = {options.dir + "/models"};
    request.output_uri = absl::StrCat("file://", options.dir, "/merged/", i);
    const auto job = client.Submit(request);
    Check(job.status());
    jobs.push_back(*job);
  }
  for (const JobInfo& job : jobs) {
    while (true) {
      const auto now = client.Get(job.name);
      Check(now.status());
      if (now->state == JobState::kRunning) break;
      if (IsTerminal(now->state)) Check(now->error);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  return jobs;
}

Plan FetchPlan(const std::string& address, const std::string& uid) {
  const auto stub =
      v1::WorkerService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.AddMetadata("authorization", absl::StrCat("Bearer ", kWork));
  v1::GetJobPlanRequest request;
  request.set_job_uid(uid);
  const auto reader = stub->GetJobPlan(&context, request);
  std::string bytes;
  for (v1::JobPlanChunk chunk; reader->Read(&chunk);) bytes += chunk.data();
  auto plan = ParseJobPlan(bytes);
  Check(plan.status());
  return std::move(plan->plan);
}

double OwnCpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void Print(const char* what, Latencies& calls, double seconds) {
  std::printf(
      "%-12s %zu calls, %.0f/s, p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, most %.1f ms; %zu "
      "failed\n",
      what, calls.count(), static_cast<double>(calls.count()) / seconds, 1e3 * calls.Quantile(0.5),
      1e3 * calls.Quantile(0.99), 1e3 * calls.Quantile(0.999), 1e3 * calls.Quantile(1),
      calls.failures());
  if (calls.failures() > 0) std::printf("             first: %s\n", calls.first_failure().c_str());
}

int Run(const Options& options) {
  RaiseDescriptorLimit();
  for (const char* variable : {"http_proxy", "grpc_proxy", "https_proxy"}) ::unsetenv(variable);
  std::filesystem::remove_all(options.dir + "/state");
  std::filesystem::remove_all(options.dir + "/merged");
  WriteModels(options.dir + "/models");
  FillJournal(options.dir + "/state", options.records);
  const Coordinator coordinator = StartCoordinator(options);
  const std::vector<JobInfo> jobs = StartJobs(options, coordinator.address);
  const Plan plan = FetchPlan(coordinator.address, jobs.front().uid);

  // They come within 20 s, as a fleet that is started does, and call at moments of their own.
  auto& fleet = *new Fleet(coordinator.address, kWork, plan);
  auto& watchers = *new Fleet(coordinator.address, kWatch, plan);
  auto& pages = *new PageLoad();
  constexpr std::chrono::seconds kArrival(20);
  std::minstd_rand random(1);
  const auto start = Clock::now();
  for (int i = 0; i < options.workers; ++i) {
    const std::chrono::milliseconds turn(random() % 2000);
    fleet.AddWorker(static_cast<size_t>(i), start + kArrival * i / options.workers + turn,
                    kSyncEvery);
  }
  OpenPages(coordinator.port, kPages, options.pages, kListEvery, pages);
  for (int i = 0; i < options.watchers; ++i) {
    watchers.AddWatcher(jobs[static_cast<size_t>(i) % jobs.size()].name);
    std::this_thread::sleep_for(kArrival / options.watchers);
  }
  std::this_thread::sleep_until(start + kArrival + std::chrono::seconds(5));

  const std::string metrics_before = ReadMetrics(coordinator.port);
  const double cpu_before = coordinator.CpuSeconds(), own_before = OwnCpuSeconds();
  const uint64_t units_before = fleet.units(), messages_before = watchers.messages(),
                 events_before = pages.events;
  const auto began = Clock::now();
  fleet.syncs().Start();
  pages.lists.Start();
  std::this_thread::sleep_for(std::chrono::seconds(options.seconds));
  fleet.syncs().Stop();
  pages.lists.Stop();
  const double seconds = Seconds(Clock::now() - began);
  const double cpu = coordinator.CpuSeconds() - cpu_before, own = OwnCpuSeconds() - own_before;
  const std::string metrics_after = ReadMetrics(coordinator.port);

  const auto journal = [&](double q) {
    return QuantileBetween(metrics_before, metrics_after,
                           "merganser_journal_request_seconds_bucket{operation=\"add_results\"", q);
  };
  std::printf(
      "%d workers (a message of %zu bytes each), %d jobs of %zu units, %d on record, %d watchers, "
      "%d pages, %u CPUs\n",
      options.workers, fleet.message_bytes(), options.jobs, plan.units.size(), options.records,
      options.watchers, options.pages, std::thread::hardware_concurrency());
  Print("Sync", fleet.syncs(), seconds);
  std::printf("journal      %llu commits waited for, p50 %.1f ms, p99 %.1f ms\n",
              static_cast<unsigned long long>(journal(0.5).count), 1e3 * journal(0.5).value,
              1e3 * journal(0.99).value);
  Print("list", pages.lists, seconds);
  std::printf("units        %.0f/s taken\n",
              static_cast<double>(fleet.units() - units_before) / seconds);
  std::printf("watchers     %.0f messages/s, %llu ended\n",
              static_cast<double>(watchers.messages() - messages_before) / seconds,
              static_cast<unsigned long long>(watchers.watches_ended()));
  std::printf("streams      %.0f events/s, %zu ended\n",
              static_cast<double>(pages.events - events_before) / seconds,
              pages.streams_ended.load());
  std::printf("processors   coordinator %.2f, load %.2f of %u\n", cpu / seconds, own / seconds,
              std::thread::hardware_concurrency());
  std::printf("memory       coordinator %s at most\n",
              FormatBytes(coordinator.PeakBytes()).c_str());
  const double beyond = fleet.syncs().Quantile(0.99) - journal(0.99).value;
  const bool held = fleet.syncs().count() > 0 && pages.lists.count() > 0 && beyond < kSyncBar &&
                    pages.lists.Quantile(0.99) < kListBar && fleet.syncs().failures() == 0 &&
                    pages.lists.failures() == 0 && watchers.watches_ended() == 0 &&
                    pages.streams_ended == 0;
  std::printf("p99 of Sync beyond the journal's: %.1f ms, of the list: %.1f ms: the bar is %s\n",
              1e3 * beyond, 1e3 * pages.lists.Quantile(0.99), held ? "held" : "NOT held");
  std::fflush(stdout);
  ::kill(coordinator.pid, SIGKILL);
  ::waitpid(coordinator.pid, nullptr, 0);
  std::_Exit(held ? 0 : 1);
}

}  // namespace
}  // namespace merganser::load

int main(int argc, char** argv) {
  merganser::load::Options options;
  const option flags[] = {
      {"merganser", required_argument, nullptr, 'm'}, {"seconds", required_argument, nullptr, 's'},
      {"workers", required_argument, nullptr, 'w'},   {"jobs", required_argument, nullptr, 'j'},
      {"records", required_argument, nullptr, 'r'},   {"watchers", required_argument, nullptr, 'a'},
      {"pages", required_argument, nullptr, 'p'},     {nullptr, 0, nullptr, 0}};
  bool usage = false;
  for (int flag; (flag = ::getopt_long(argc, argv, "", flags, nullptr)) != -1;) {
    const int number = ::optarg == nullptr ? 0 : std::atoi(::optarg);
    switch (flag) {
      case 'm':
        options.program = ::optarg;
        continue;
      case 's':
        options.seconds = number;
        break;
      case 'w':
        options.workers = number;
        break;
      case 'j':
        options.jobs = number;
        break;
      case 'r':
        options.records = number;
        break;
      case 'a':
        options.watchers = number;
        break;
      case 'p':
        options.pages = number;
        break;
      default:
        break;
    }
    usage |= number <= 0;
  }
  if (usage || options.program.empty() || ::optind + 1 != argc) {
    std::fprintf(
        stderr,
        "usage: service_load --merganser PROGRAM DIR [--seconds N] [--workers N] [--jobs N] "
        "[--records N] [--watchers N] [--pages N]\n");
    return 2;
  }
  options.dir = std::filesystem::absolute(argv[::optind]).string();
  std::filesystem::create_directories(options.dir);
  return merganser::load::Run(options);
}
