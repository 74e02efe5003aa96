// Writes lines of the log, over spdlog.
#ifndef MERGANSER_COMMON_BASE_LOG_WRITER_H_
#define MERGANSER_COMMON_BASE_LOG_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/redact.h"

namespace merganser {

enum class LogFormat : uint8_t {
  kText,  // 2026-11-30T02:41:00.123Z info  job=jobs/7f unit=3 message
  kJson,  // {"time":"2026-11-30T02:41:00.123Z","level":"info","job":"jobs/7f",...}, one a line
};

struct LogOptions {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;  // below it nothing is written
  Redactor redactor = {};            // sees every message and every value
  // Takes a line without its end; one call at a time.
  std::function<void(std::string_view)> write;
};

// Thread-safe.
class LogWriter {
 public:
  explicit LogWriter(LogOptions options);
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // Never throws: a line for which there is no memory is not written.
  void Write(const LogLine& line, WallTime now);

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_LOG_WRITER_H_
