// What the system allows this process, read and judged before a service starts: libgrpc ends
// the process, or hangs, where it gets no thread or no memory.
#ifndef MERGANSER_COORDINATOR_CLI_PROCESS_LIMITS_H_
#define MERGANSER_COORDINATOR_CLI_PROCESS_LIMITS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace merganser::cli {

// A limit that is shared with others.
struct SharedLimit {
  uint64_t limit = 0;
  uint64_t used = 0;   // by everyone, this process included
  std::string source;  // where it is set, for messages
};

// Absent: without a limit, or one that does not bind this process.
struct ProcessLimits {
  std::optional<SharedLimit> user_threads;    // RLIMIT_NPROC
  std::optional<SharedLimit> cgroup_threads;  // pids.max
  std::optional<SharedLimit> cgroup_memory;   // memory.max, memory.limit_in_bytes; bytes
  std::optional<uint64_t> address_space;      // RLIMIT_AS; bytes
  uint64_t thread_stack = 0;                  // address space of one thread's stack; bytes
  int cores = 1;
};

// Those of this process: of every cgroup, version 1 or 2, above it the tightest. `root` stands
// before /proc and /sys/fs/cgroup, for tests.
ProcessLimits ReadProcessLimits(const std::string& root = "");

struct ProcessNeeds {
  std::string_view who;    // "the coordinator"
  uint64_t threads = 0;    // beside those that gRPC starts for the cores that there are
  uint64_t memory = 0;     // bytes, stacks left aside
  std::string_view lower;  // flags that lower the needs: "--threads"; empty if there are none
};
ProcessNeeds CoordinatorNeeds(int active_jobs);
ProcessNeeds WorkerNeeds(int threads, uint64_t memory);
ProcessNeeds ClientNeeds();

// Threads of --http: connections, requests, answers, certificates.
inline constexpr uint64_t kHttpThreads = 18;

// Of a client over TLS: what follows its certificates.
inline constexpr uint64_t kTlsThreads = 1;

// kFailedPrecondition: names the limit, what was found, what is needed and what to raise.
absl::Status CheckProcessLimits(const ProcessLimits& limits, const ProcessNeeds& needs);

// How many threads the server may use for calls, of `most`, so that it refuses calls before the
// system refuses threads. At least kCallThreads where CheckProcessLimits found enough.
inline constexpr int kCallThreads = 8;
int ThreadsForCalls(const ProcessLimits& limits, const ProcessNeeds& needs, int most);

// Where address space is limited the C library's heaps, which reserve 64 MiB each and would use
// all of it up, are made one. Before the first thread starts.
void FitHeapToLimits();

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_PROCESS_LIMITS_H_
