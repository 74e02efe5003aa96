// A source of units that tells a log what became of each, on the side of the worker: the same for
// every way of running.
#ifndef MERGANSER_WORKER_LOGGED_SOURCE_H_
#define MERGANSER_WORKER_LOGGED_SOURCE_H_

#include <string>
#include <vector>

#include "common/base/log.h"
#include "worker/unit_source.h"

namespace merganser {

// What a line about a unit is about: job, round where there are several, unit, tensor (the first,
// and how many are with it), worker.
std::vector<LogField> FieldsOf(const LeasedUnit& unit, const std::string& worker);

// Passes every call on to `source`, which must outlive it. Failures are warnings, begins and ends
// are for debugging.
class LoggedSource final : public UnitSource {
 public:
  LoggedSource(UnitSource& source, std::string worker, LogSink log);

  absl::StatusOr<std::optional<LeasedUnit>> Next() override;
  bool Progress(const LeasedUnit& unit, uint64_t bytes) override;
  void Complete(const LeasedUnit& unit, UnitResult result) override;
  void Fail(const LeasedUnit& unit, absl::Status status) override;

 private:
  // Never throws: a failure must reach the source.
  void Tell(LogLevel level, const LeasedUnit& unit, const std::string& message,
            std::vector<LogField> more = {}) const;

  UnitSource& source_;
  const std::string worker_;
  const LogSink log_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_LOGGED_SOURCE_H_
