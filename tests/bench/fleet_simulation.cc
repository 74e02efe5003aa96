// A coordinator under a fleet: how fast it hands out units and takes results in, with
// every result on record before it counts.
//
// usage: fleet_simulation [UNITS [WORKERS [THREADS]]]        (100000 1000 64)
//
// Workload: the real JobManager, Schedule and Journal (SQLite in a temporary folder, one
// fsync a commit), over a job that touches no storage. WORKERS workers call Sync as fast
// as they are answered, one call in flight each, from THREADS threads as a server's calls
// come from its pool; each holds two units, reports those it has and asks for as many. A
// hundredth of the workers vanish with their units in the middle. When half of the units
// are done the coordinator stops; a new one goes on from the journal.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "coordinator/journal/journal.h"
#include "coordinator/service/job_manager.h"
#include "tests/coordinator/service/fake_storage.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using SteadyClock = std::chrono::steady_clock;

double Seconds(SteadyClock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

// One segment, one part of an upload.
UnitResult ResultOf(const LeaseGrant& lease) {
  UnitResult result;
  result.unit = lease.unit;
  result.round = lease.round;
  result.segment_digests = {std::string(32, 'd')};
  result.receipts = {{uint64_t{100} * lease.unit, 100, "\"9b2cf535f27731c974343645a3985328\""}};
  result.bytes_read = 400;
  result.bytes_written = 100;
  return result;
}

struct Worker {
  WorkerReport report;
  std::vector<LeaseGrant> leases;
  bool dead = false;
};

struct Fleet {
  std::vector<Worker> workers;
  std::vector<double> latencies;  // of Sync, seconds
  std::atomic<uint64_t> done{0};
};

// Until `enough` units are done, or `over`.
void Work(JobManager& jobs, Fleet& fleet, int threads, uint64_t enough, uint64_t deaths_after,
          const std::atomic<bool>& over) {
  Mutex mutex;
  std::vector<std::thread> pool;
  std::atomic<bool> stop{false};
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      std::vector<double> latencies;
      while (!stop && !over) {
        for (size_t w = t; w < fleet.workers.size() && !stop && !over; w += threads) {
          Worker& worker = fleet.workers[w];
          if (worker.dead) continue;
          if (w % 100 == 0 && fleet.done >= deaths_after && !worker.leases.empty()) {
            worker.dead = true;
            continue;
          }
          ++worker.report.sequence;
          worker.report.wanted = 2;
          worker.report.completed.clear();
          for (const LeaseGrant& lease : worker.leases) {
            worker.report.completed.push_back(CompletionOf(lease, ResultOf(lease)));
          }
          const size_t reported = worker.leases.size();
          const auto start = SteadyClock::now();
          absl::StatusOr<WorkerAnswer> answer = jobs.Sync(worker.report);
          latencies.push_back(Seconds(SteadyClock::now() - start));
          if (!answer.ok()) {
            worker.leases.clear();
            continue;
          }
          worker.leases = std::move(answer->leases);
          if ((fleet.done += reported) >= enough) stop = true;
          if (worker.leases.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
      }
      MutexLock lock(mutex);
      fleet.latencies.insert(fleet.latencies.end(), latencies.begin(), latencies.end());
    });
  }
  for (std::thread& thread : pool) thread.join();
}

double Quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<int64_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

std::unique_ptr<Journal> OpenJournal(const std::string& folder) {
  JournalOptions options;
  options.directory = folder;
  auto journal = Journal::Open(options, SystemClock());
  Check(journal.status());
  return *std::move(journal);
}

int Run(uint64_t units, size_t workers, int threads) {
  const TempDir folder;
  const std::string state = folder.File("state");
  FakeStorage storage(static_cast<uint32_t>(units));
  JobManagerOptions options;
  options.schedule.worker_timeout = std::chrono::seconds(5);
  Fleet fleet;
  fleet.workers.resize(workers);
  for (size_t i = 0; i < workers; ++i) {
    fleet.workers[i].report.worker = absl::StrCat("host-", i, "-pid-", 1000 + i);
    fleet.workers[i].report.memory = uint64_t{32} << 30;
    fleet.workers[i].report.threads = 16;
  }

  auto journal = OpenJournal(state);
  auto jobs = JobManager::Start(options, SystemClock(), *journal, storage.Runs());
  Check(jobs.status());
  const auto created = (*jobs)->Create(ValidRequest(), "", "someone");
  Check(created.status());
  AwaitState(**jobs, created->name, JobState::kRunning);

  const auto start = SteadyClock::now();
  std::atomic<bool> ended{false};
  Work(**jobs, fleet, threads, units / 2, units / 4, ended);
  const double first = Seconds(SteadyClock::now() - start);
  const uint64_t first_units = (*jobs)->Get(created->name)->progress.units_done;
  (*jobs)->Shutdown();
  jobs->reset();
  journal.reset();

  const auto restart = SteadyClock::now();
  journal = OpenJournal(state);
  jobs = JobManager::Start(options, SystemClock(), *journal, storage.Runs());
  Check(jobs.status());
  uint64_t recovered = 0;
  while ((recovered = (*jobs)->Get(created->name)->progress.units_done) < first_units) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const double recovery = Seconds(SteadyClock::now() - restart);
  for (Worker& worker : fleet.workers) worker.leases.clear();

  std::thread waiter([&] {
    (void)AwaitEnd(**jobs, created->name);
    ended = true;
  });
  const auto second_start = SteadyClock::now();
  Work(**jobs, fleet, threads, UINT64_MAX, UINT64_MAX, ended);
  waiter.join();
  const double second = Seconds(SteadyClock::now() - second_start);
  const JobInfo end = *(*jobs)->Get(created->name);
  Check(end.state == JobState::kSucceeded ? absl::OkStatus() : end.error);

  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  uint64_t journal_bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(state)) {
    if (entry.is_regular_file()) journal_bytes += entry.file_size();
  }
  std::printf("%llu units, %zu workers, %d calling threads, %u CPUs\n",
              static_cast<unsigned long long>(units), workers, threads,
              std::thread::hardware_concurrency());
  std::printf("first half    %.1f s, %.0f units/s\n", first,
              static_cast<double>(first_units) / first);
  std::printf("restart       %.2f s until %llu units on record were taken in\n", recovery,
              static_cast<unsigned long long>(recovered));
  std::printf("second half   %.1f s, %.0f units/s, publication included\n", second,
              static_cast<double>(units - recovered) / second);
  std::printf("Sync          %zu calls, p50 %.1f ms, p99 %.1f ms, most %.1f ms\n",
              fleet.latencies.size(), 1e3 * Quantile(fleet.latencies, 0.5),
              1e3 * Quantile(fleet.latencies, 0.99), 1e3 * Quantile(fleet.latencies, 1));
  std::printf("retries       %llu, of units that %zu vanished workers held\n",
              static_cast<unsigned long long>(end.progress.retries), workers / 100);
  std::printf("memory        %s at most; journal %s\n",
              FormatBytes(static_cast<uint64_t>(usage.ru_maxrss) << 10).c_str(),
              FormatBytes(journal_bytes).c_str());
  return 0;
}

}  // namespace
}  // namespace merganser

int main(int argc, char** argv) {
  const uint64_t units = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100000;
  const size_t workers = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1000;
  const int threads = argc > 3 ? std::atoi(argv[3]) : 64;
  if (units < 100 || workers < 1 || threads < 1) {
    std::fprintf(stderr, "usage: fleet_simulation [UNITS [WORKERS [THREADS]]]\n");
    return 2;
  }
  return merganser::Run(units, workers, threads);
}
