#include "coordinator/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/format.h"
#include "common/base/guarded.h"

namespace merganser::cli {
namespace {

constexpr std::chrono::milliseconds kTerminalPeriod(200);
constexpr std::chrono::seconds kLinePeriod(10);
constexpr int kBarWidth = 24;

}  // namespace

std::string ProgressLine(const ProgressSample& sample, double seconds) {
  const double done = static_cast<double>(sample.bytes_done);
  const double share =
      sample.bytes_total == 0 ? 0 : std::min(1.0, done / static_cast<double>(sample.bytes_total));
  const int filled = static_cast<int>(share * kBarWidth);
  std::string line =
      Formatted("[%s%s] %3.0f%%  %s of %s", std::string(static_cast<size_t>(filled), '#'),
                std::string(static_cast<size_t>(kBarWidth - filled), '.'), share * 100,
                FormatBytes(sample.bytes_done), FormatBytes(sample.bytes_total));
  if (seconds > 0 && sample.bytes_done > 0) {
    absl::StrAppend(&line, "  ", FormatBytes(static_cast<uint64_t>(done / seconds)), "/s");
    const auto left = static_cast<uint64_t>(seconds * (1 - share) / std::max(share, 1e-9));
    line += Formatted("  %d:%02d left", left / 60, left % 60);
  }
  line += Formatted("  unit %d of %d", sample.units_done, sample.units_total);
  if (!sample.note.empty()) absl::StrAppend(&line, "  ", sample.note);
  return line;
}

ProgressPrinter::ProgressPrinter(std::function<ProgressSample()> sample)
    : sample_(std::move(sample)) {
  absl::StatusOr<Thread> thread = Thread::Start([this] { Loop(); });
  if (thread.ok()) thread_ = *std::move(thread);
}

ProgressPrinter::~ProgressPrinter() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.Join().IgnoreError();
}

void ProgressPrinter::Loop() {
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const Duration period = terminal ? Duration(kTerminalPeriod) : Duration(kLinePeriod);
  const MonotonicTime start = SystemClock().Now();
  MonotonicTime next = start + period;
  MutexLock lock(mutex_);
  while (!stopping_) {
    const MonotonicTime now = SystemClock().Now();
    if (now < next) {
      changed_.WaitFor(mutex_, next - now);
      continue;
    }
    next = now + period;
    Guarded([&] {
      const std::string line =
          ProgressLine(sample_(), std::chrono::duration<double>(now - start).count());
      std::fprintf(stderr, terminal ? "\r\033[K%s" : "%s\n", line.c_str());
      std::fflush(stderr);
    }).IgnoreError();
  }
  if (terminal) {
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
  }
}

}  // namespace merganser::cli
