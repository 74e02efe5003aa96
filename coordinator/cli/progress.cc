#include "coordinator/cli/progress.h"

#include <chrono>
#include <utility>

#include "common/base/clock.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/terminal.h"

namespace merganser::cli {
namespace {

constexpr std::chrono::milliseconds kLook(500);
constexpr std::chrono::seconds kLinePeriod(10);

std::vector<LogField> FieldsOf(const ProgressMeter& meter) {
  const ProgressSample& sample = meter.sample();
  std::vector<LogField> fields = {{"phase", sample.phase}};
  if (!sample.moves) return fields;
  if (const std::optional<double> rate = meter.rate(); rate.has_value()) {
    fields.emplace_back("bytes_per_second", static_cast<uint64_t>(*rate));
  }
  if (meter.seconds_left().has_value()) {
    fields.emplace_back("seconds_left", static_cast<uint64_t>(*meter.seconds_left()));
  }
  fields.emplace_back("bytes_done", sample.bytes_done);
  fields.emplace_back("bytes_total", sample.bytes_total);
  fields.emplace_back("units_done", sample.units_done);
  fields.emplace_back("units_total", sample.units_total);
  return fields;
}

}  // namespace

ProgressPrinter::ProgressPrinter(std::function<ProgressSample()> sample, PhaseLines lines)
    : sample_(std::move(sample)),
      lines_(LogsLines() ? PhaseLines::kAll : lines),
      rewrites_(OnTerminal() && !LogsLines()) {
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
  ProgressMeter meter;
  // What is over sooner shows nothing.
  MonotonicTime next = SystemClock().Now() + kLook;
  next_line_ = next - kLook + kLinePeriod;
  MutexLock lock(mutex_);
  while (!stopping_) {
    const MonotonicTime now = SystemClock().Now();
    if (now < next) {
      changed_.WaitFor(mutex_, next - now);
      continue;
    }
    next = now + kLook;
    Guarded([&] {
      meter.Add(sample_(), now);
      Show(meter, now);
    }).IgnoreError();
  }
  if (rewrites_) SetStatusLine("");
}

void ProgressPrinter::Show(const ProgressMeter& meter, MonotonicTime now) {
  const std::string line = OneLine(meter.Line());
  if (rewrites_) {
    SetStatusLine(line);
    return;
  }
  const bool due = now >= next_line_;
  const bool quiet = lines_ == PhaseLines::kLater && told_.empty();
  if (!due && (quiet || meter.sample().phase == told_)) return;
  told_ = meter.sample().phase;
  next_line_ = now + kLinePeriod;
  // The log's reader has the figures as fields.
  Log(LogLevel::kInfo, line, LogsLines() ? FieldsOf(meter) : std::vector<LogField>());
}

}  // namespace merganser::cli
