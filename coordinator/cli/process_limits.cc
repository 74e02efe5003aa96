#include "coordinator/cli/process_limits.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/bytes.h"
#include "common/base/directory.h"

namespace merganser::cli {
namespace {

// "No limit" in version 1 is the largest number of bytes in whole pages.
constexpr uint64_t kUnlimitedBytes = uint64_t{1} << 62;
// Capabilities that RLIMIT_NPROC does not bind: CAP_SYS_ADMIN, CAP_SYS_RESOURCE.
constexpr uint64_t kUnboundCapabilities = uint64_t{1} << 21 | uint64_t{1} << 24;
constexpr uint64_t kUnlimitedStack = 2 * kMiB;  // what the C library takes then
constexpr uint64_t kProgram = 96 * kMiB;        // libraries, and heaps that do not fit tightly

// What libgrpc 1.51 starts with, beside a thread a core of its event engine, and then takes
// under load: clients 5, the others up to twice as many.
constexpr uint64_t kGrpcThreads = 16;
constexpr uint64_t kGrpcThreadsOfClient = 8;

std::optional<std::string> FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<uint64_t> NumberIn(const std::string& path) {
  const std::optional<std::string> line = FirstLine(path);
  uint64_t number = 0;
  if (!line || !absl::SimpleAtoi(*line, &number)) return std::nullopt;  // "max" among them
  return number;
}

// The value of "Key:\tvalue" in a /proc/PID/status.
std::string StatusField(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    absl::string_view rest = line;
    if (absl::ConsumePrefix(&rest, absl::string_view(key.data(), key.size()))) {
      return std::string(absl::StripAsciiWhitespace(rest));
    }
  }
  return "";
}

// The kernel lets root of the first user namespace, and whoever has one of two capabilities,
// have any number of threads.
bool UserLimitBinds(const std::string& proc) {
  const std::string status = proc + "/self/status";
  uint64_t capabilities = 0;
  if (absl::SimpleHexAtoi(StatusField(status, "CapEff:"), &capabilities) &&
      (capabilities & kUnboundCapabilities) != 0) {
    return false;
  }
  std::istringstream uids(StatusField(status, "Uid:"));
  std::istringstream map(FirstLine(proc + "/self/uid_map").value_or("0 0 1"));
  uint64_t uid = 1, inner = 1, outer = 1;
  uids >> uid;
  map >> inner >> outer;
  return uid != 0 || inner != 0 || outer != 0;
}

// Of all processes of this one's user that can be seen.
uint64_t ThreadsOfUser(const std::string& proc) {
  const auto uid_of = [](const std::string& status) {
    const std::string uids = StatusField(status, "Uid:");  // real, effective, saved, file system
    return uids.substr(0, uids.find('\t'));
  };
  const std::string own = uid_of(proc + "/self/status");
  uint64_t sum = 0;
  Directory processes(proc);
  while (const char* const name = processes.Next()) {
    if (!std::isdigit(static_cast<unsigned char>(*name))) continue;
    const std::string status = absl::StrCat(proc, "/", name, "/status");
    uint64_t threads = 0;
    if (uid_of(status) == own && absl::SimpleAtoi(StatusField(status, "Threads:"), &threads)) {
      sum += threads;
    }
  }
  return sum;
}

// The folders of the cgroups of `controller` ("memory") that this process is in, or of version 2
// (""), from the innermost to the mount.
std::vector<std::string> CgroupFolders(const std::string& root, std::string_view controller) {
  std::string path;
  std::ifstream file(root + "/proc/self/cgroup");
  bool found = false;
  for (std::string line; !found && std::getline(file, line);) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const std::vector<std::string> names = absl::StrSplit(fields[1], ',');
    found = controller.empty() ? fields[0] == "0"
                               : std::find(names.begin(), names.end(), controller) != names.end();
    if (found) path = fields[2];
  }
  if (!found) return {};
  std::ifstream mounts(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    // ID PARENT DEVICE ROOT MOUNT OPTIONS [TAGS...] - TYPE SOURCE SUPER-OPTIONS
    const std::vector<std::string> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2) continue;
    const std::vector<std::string> left = absl::StrSplit(halves[0], ' ');
    const std::vector<std::string> right = absl::StrSplit(halves[1], ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    const std::vector<std::string> options = absl::StrSplit(right[2], ',');
    const bool ours = controller.empty()
                          ? right[0] == "cgroup2"
                          : right[0] == "cgroup" && std::find(options.begin(), options.end(),
                                                              controller) != options.end();
    if (!ours) continue;
    // A container sees its own cgroup as the mount, under a path that begins at the host's.
    absl::string_view below = path;
    if (left[3] != "/") absl::ConsumePrefix(&below, left[3]);
    const std::string mount = root + left[4];
    std::vector<std::string> folders;
    for (std::string at(absl::StripSuffix(below, "/")); !at.empty(); at.resize(at.rfind('/'))) {
      folders.push_back(mount + at);
      if (at.rfind('/') == std::string::npos) break;
    }
    folders.push_back(mount);
    return folders;
  }
  return {};
}

uint64_t Left(const SharedLimit& limit) { return limit.limit - std::min(limit.limit, limit.used); }

std::optional<SharedLimit> Tighter(std::optional<SharedLimit> a, std::optional<SharedLimit> b) {
  return !a || (b && Left(*b) < Left(*a)) ? b : a;
}

// The one that leaves least.
std::optional<SharedLimit> Tightest(const std::vector<std::string>& folders,
                                    const std::string& limit_file, const std::string& used_file) {
  std::optional<SharedLimit> tightest;
  for (const std::string& folder : folders) {
    const std::string source = absl::StrCat(folder, "/", limit_file);
    const std::optional<uint64_t> limit = NumberIn(source);
    if (!limit || *limit >= kUnlimitedBytes) continue;
    const uint64_t used =
        used_file.empty() ? 0 : NumberIn(absl::StrCat(folder, "/", used_file)).value_or(0);
    tightest = Tighter(tightest, SharedLimit{*limit, used, source});
  }
  return tightest;
}

std::optional<uint64_t> Limit(decltype(RLIMIT_AS) resource) {
  struct rlimit limit = {};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

uint64_t ThreadsNeeded(const ProcessLimits& limits, const ProcessNeeds& needs) {
  return needs.threads + static_cast<uint64_t>(std::clamp(limits.cores, 2, 16));
}

std::string OrLower(const ProcessNeeds& needs) {
  return needs.lower.empty() ? "" : absl::StrCat(", or lower ", std::string(needs.lower));
}

absl::Status CheckThreads(const std::optional<SharedLimit>& limit, const ProcessLimits& limits,
                          const ProcessNeeds& needs) {
  const uint64_t needed = ThreadsNeeded(limits, needs);
  // This process has one thread, which is counted on both sides.
  if (!limit || Left(*limit) + 1 >= needed) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      limit->source, ": found ", limit->limit, ", of which ", limit->used,
      " are taken, expected at least ", limit->used + needed - 1, ": ", std::string(needs.who),
      " needs ", needed, " threads; raise it", OrLower(needs)));
}

}  // namespace

ProcessLimits ReadProcessLimits(const std::string& root) {
  ProcessLimits limits;
  const std::string proc = root + "/proc";
  if (const std::optional<uint64_t> most = Limit(RLIMIT_NPROC); most && UserLimitBinds(proc)) {
    limits.user_threads = SharedLimit{*most, ThreadsOfUser(proc), "ulimit -u (RLIMIT_NPROC)"};
  }
  limits.address_space = Limit(RLIMIT_AS);
  limits.thread_stack = Limit(RLIMIT_STACK).value_or(kUnlimitedStack);
  limits.cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  limits.cgroup_threads =
      Tighter(Tightest(CgroupFolders(root, ""), "pids.max", "pids.current"),
              Tightest(CgroupFolders(root, "pids"), "pids.max", "pids.current"));
  // Of memory what others in the cgroup use is no guide: most of it may be files' pages.
  limits.cgroup_memory =
      Tighter(Tightest(CgroupFolders(root, ""), "memory.max", ""),
              Tightest(CgroupFolders(root, "memory"), "memory.limit_in_bytes", ""));
  return limits;
}

ProcessNeeds CoordinatorNeeds(int active_jobs) {
  // Beside the runners: main, signals, the clock, what readers see of jobs, the journal, the front,
  // the log.
  return {"the coordinator", 7 + static_cast<uint64_t>(active_jobs) + kGrpcThreads + kCallThreads,
          64 * kMiB, ""};
}

ProcessNeeds WorkerNeeds(int threads, uint64_t memory) {
  const uint64_t computers = static_cast<uint64_t>(std::max(1, threads));
  // Readers and writers as unit_runner.cc has them; main, signals, flushing, the coordinator.
  const uint64_t stages = computers + std::clamp<uint64_t>(computers, 2, 16) +
                          std::clamp<uint64_t>(computers / 2, 2, 8);
  return {"the worker", 4 + stages + kGrpcThreads, memory, "--threads and --memory"};
}

ProcessNeeds ClientNeeds() { return {"this command", 2 + kGrpcThreadsOfClient, 32 * kMiB, ""}; }

absl::Status CheckProcessLimits(const ProcessLimits& limits, const ProcessNeeds& needs) {
  for (const std::optional<SharedLimit>* limit : {&limits.user_threads, &limits.cgroup_threads}) {
    if (absl::Status status = CheckThreads(*limit, limits, needs); !status.ok()) return status;
  }
  if (limits.cgroup_memory && limits.cgroup_memory->limit < needs.memory) {
    return absl::FailedPreconditionError(absl::StrCat(
        limits.cgroup_memory->source, ": found ", FormatBytes(limits.cgroup_memory->limit),
        ", expected ", FormatBytes(needs.memory), " or more for ", std::string(needs.who),
        "; raise it", OrLower(needs)));
  }
  const uint64_t space =
      kProgram + needs.memory + ThreadsNeeded(limits, needs) * limits.thread_stack;
  if (limits.address_space && *limits.address_space < space) {
    return absl::FailedPreconditionError(absl::StrCat(
        "ulimit -v (RLIMIT_AS): found ", *limits.address_space / kKiB, " KiB, expected ",
        space / kKiB, " or more: ", std::string(needs.who), " needs that much for its libraries, ",
        ThreadsNeeded(limits, needs), " stacks of ", FormatBytes(limits.thread_stack), " and ",
        FormatBytes(needs.memory), " of its own; raise it", OrLower(needs)));
  }
  return absl::OkStatus();
}

int ThreadsForCalls(const ProcessLimits& limits, const ProcessNeeds& needs, int most) {
  uint64_t threads = static_cast<uint64_t>(most);
  const uint64_t needed = ThreadsNeeded(limits, needs);
  const auto bound = [&](uint64_t available) {
    const uint64_t more = available - std::min(available, needed);
    threads = std::min<uint64_t>(threads, kCallThreads + more);
  };
  if (limits.user_threads) bound(Left(*limits.user_threads) + 1);
  if (limits.cgroup_threads) bound(Left(*limits.cgroup_threads) + 1);
  if (limits.address_space) {
    const uint64_t other = kProgram + needs.memory;
    bound((*limits.address_space - std::min(*limits.address_space, other)) /
          std::max<uint64_t>(limits.thread_stack, 1));
  }
  return static_cast<int>(threads);
}

void FitHeapToLimits() {
  if (Limit(RLIMIT_AS)) mallopt(M_ARENA_MAX, 1);
}

}  // namespace merganser::cli
