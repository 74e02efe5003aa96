#include "worker/logged_source.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/format.h"
#include "common/base/guarded.h"
#include "common/plan/plan_text.h"

namespace merganser {

std::vector<LogField> FieldsOf(const LeasedUnit& unit, const std::string& worker) {
  std::vector<LogField> fields = {{"job", unit.job->job}};
  if (unit.job->plan.rounds > 1) fields.emplace_back("round", unit.round + 1);
  fields.emplace_back("unit", unit.unit);
  fields.emplace_back("tensor", UnitTensorsText(unit.job->plan, unit.unit));
  fields.emplace_back("worker", worker);
  return fields;
}

LoggedSource::LoggedSource(UnitSource& source, std::string worker, LogSink log)
    : source_(source), worker_(std::move(worker)), log_(std::move(log)) {}

void LoggedSource::Tell(LogLevel level, const LeasedUnit& unit, const std::string& message,
                        std::vector<LogField> more) const {
  if (!log_ || unit.job == nullptr) return;
  Guarded([&] {
    std::vector<LogField> fields = FieldsOf(unit, worker_);
    std::move(more.begin(), more.end(), std::back_inserter(fields));
    log_({level, message, std::move(fields)});
  }).IgnoreError();
}

absl::StatusOr<std::optional<LeasedUnit>> LoggedSource::Next() {
  absl::StatusOr<std::optional<LeasedUnit>> unit = source_.Next();
  if (unit.ok() && unit->has_value()) Tell(LogLevel::kDebug, **unit, "unit begun");
  return unit;
}

bool LoggedSource::Progress(const LeasedUnit& unit, uint64_t bytes) {
  return source_.Progress(unit, bytes);
}

void LoggedSource::Complete(const LeasedUnit& unit, UnitResult result) {
  if (log_) {
    Guarded([&] {
      Tell(LogLevel::kDebug, unit,
           absl::StrCat("unit done: ", FormatBytes(result.bytes_read), " read, ",
                        FormatBytes(result.bytes_written), " written in ",
                        Formatted("%.3f", result.seconds), " s"));
    }).IgnoreError();
  }
  source_.Complete(unit, std::move(result));
}

void LoggedSource::Fail(const LeasedUnit& unit, absl::Status status) {
  Guarded([&] {
    Tell(LogLevel::kWarn, unit, absl::StrCat("unit failed: ", status.message()),
         {{"code", absl::StatusCodeToString(status.code())}});
  }).IgnoreError();
  source_.Fail(unit, std::move(status));
}

}  // namespace merganser
