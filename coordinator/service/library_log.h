// What gRPC and protobuf have to say by themselves, within bounds.
#ifndef MERGANSER_COORDINATOR_SERVICE_LIBRARY_LOG_H_
#define MERGANSER_COORDINATOR_SERVICE_LIBRARY_LOG_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mutex.h"

namespace merganser {

// Lets a few lines a minute pass, and counts the others: whoever can connect can cause them.
// Thread-safe.
class LineLimit {
 public:
  static constexpr size_t kLinesAMinute = 6;

  // The line as it is to be written, which begins with how many were left out before it; or
  // nothing, where it is left out.
  std::optional<std::string> Pass(std::string_view line, MonotonicTime now);

 private:
  Mutex mutex_;
  MonotonicTime minute_ MERGANSER_GUARDED_BY(mutex_) = MonotonicTime::min();
  size_t passed_ MERGANSER_GUARDED_BY(mutex_) = 0;
  size_t left_out_ MERGANSER_GUARDED_BY(mutex_) = 0;
};

// From now on, for the whole process, to `log`; where it is empty to stderr, unless an earlier call
// has said where.
void BoundLibraryLogs(LogSink log = {});

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_LIBRARY_LOG_H_
