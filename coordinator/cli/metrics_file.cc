#include "coordinator/cli/metrics_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "common/plan/plan.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/version.h"

namespace merganser::cli {
namespace {

void TellBuild(MetricRegistry& registry) {
  const std::string program = ProgramName();
  registry
      .Gauges("merganser_build_info", "1; the labels say what runs.",
              {{"version", {program.substr(program.rfind(' ') + 1)}},
               {"numerics", {absl::StrCat(kNumericsVersion)}},
               {"simd", {std::string(ActiveSimd())}}})
      .At({0, 0, 0})
      .Set(1);
  registry
      .OneGauge("merganser_start_time_seconds",
                "When the process began to count, in seconds since 1970 in UTC.")
      .Set(std::chrono::duration<double>(SystemClock().WallNow().time_since_epoch()).count());
}

absl::Status Failed(const std::string& path, const char* what, int error) {
  return absl::UnavailableError(
      absl::StrCat(path, ": ", what, ": ", std::string(std::strerror(error))));
}

// 0, or what errno was.
int WriteAll(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return errno;
    done += static_cast<size_t>(wrote);
  }
  return 0;
}

}  // namespace

absl::Status ReplaceFile(const std::string& path, const std::string& text) {
  const size_t name = path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1;
  // The collector takes what ends with ".prom", and no file that begins with a dot.
  const std::string temporary =
      absl::StrCat(path.substr(0, name), ".", path.substr(name), ".", getpid(), ".tmp");
  const int fd =
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return Failed(temporary, "cannot be opened", errno);
  int error = WriteAll(fd, text);
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(temporary.c_str());
  return Failed(path, "cannot be written", error);
}

absl::Status AddCommonLabel(const std::string& text, CommonLabels& labels) {
  constexpr std::string_view kOwn[] = {"code",   "method", "numerics", "operation", "rank",
                                       "scheme", "simd",   "stage",    "state",     "version"};
  const size_t sign = text.find('=');
  const std::string name = text.substr(0, sign);
  const std::string value = sign == std::string::npos ? "" : text.substr(sign + 1);
  bool taken = std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn);
  for (const auto& [other, said] : labels) taken = taken || other == name;
  if (value.empty() || taken ||
      !CheckMetric("merganser_any", "Any.", MetricKind::kGauge, {{name, {value}}}).ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "found ", Shown(text),
        ", expected NAME=VALUE, with a name of lower-case letters, digits and _ that no "
        "metric has, such as worker=a"));
  }
  labels.emplace_back(name, value);
  return absl::OkStatus();
}

std::string MetricsFileOfRank(const std::string& path, int rank) {
  if (path.empty() || rank == 0) return path;
  const std::string part = absl::StrCat(".rank", rank);
  const size_t slash = path.rfind('/');
  const size_t dot = path.rfind('.');
  const size_t name = slash == std::string::npos ? 0 : slash + 1;
  if (dot == std::string::npos || dot <= name) return path + part;
  return path.substr(0, dot) + part + path.substr(dot);
}

MetricsFile::MetricsFile(std::string path, std::shared_ptr<MetricRegistry> registry,
                         CommonLabels labels, Duration period)
    : path_(std::move(path)),
      registry_(std::move(registry)),
      labels_(std::move(labels)),
      period_(period) {
  TellBuild(*registry_);
  if (path_.empty()) return;
  Write();
  // Without a thread it is written at the end alone.
  absl::StatusOr<Thread> thread = Thread::Start([this] { Loop(); });
  if (thread.ok()) thread_ = *std::move(thread);
}

MetricsFile::~MetricsFile() { Close(); }

void MetricsFile::Close() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(stopping_, true)) return;
    changed_.NotifyAll();
  }
  thread_.Join().IgnoreError();
  if (!path_.empty()) Write();
}

void MetricsFile::Loop() {
  while (true) {
    {
      MutexLock lock(mutex_);
      const MonotonicTime next = SystemClock().Now() + period_;
      while (!stopping_ && SystemClock().Now() < next) {
        changed_.WaitFor(mutex_, next - SystemClock().Now());
      }
      if (stopping_) return;
    }
    Write();
  }
}

void MetricsFile::Write() {
  const absl::Status written =
      Guarded([&] { return ReplaceFile(path_, MetricsText(*registry_, labels_)); });
  if (written.ok() || std::exchange(warned_, true)) return;
  Log(LogLevel::kWarn,
      absl::StrCat("--metrics-file: ", written.message(), "; the work goes on without"));
}

}  // namespace merganser::cli
