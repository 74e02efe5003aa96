#include "coordinator/service/library_log.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "google/protobuf/stubs/logging.h"
#include "grpc/support/log.h"

namespace merganser {
namespace {

constexpr size_t kMaxLine = 400;

struct Bounded {
  LineLimit limit;
  Mutex mutex;
  LogSink log MERGANSER_GUARDED_BY(mutex);
};

// The libraries' handlers have no argument. Never destroyed: they outlive main.
Bounded& TheBounded() {
  static auto* const bounded = new Bounded();
  return *bounded;
}

void Write(LogLevel level, std::string_view from, std::string_view text) {
  // Called from anywhere, also where memory has run out.
  Guarded([&] {
    Bounded& bounded = TheBounded();
    const std::optional<std::string> line =
        bounded.limit.Pass(absl::StrCat(std::string(from), ": ", OneLine(text.substr(0, kMaxLine))),
                           SystemClock().Now());
    if (!line.has_value()) return;
    LogSink log;
    {
      MutexLock lock(bounded.mutex);
      log = bounded.log;
    }
    if (log) {
      log({level, *line});
    } else {
      std::fprintf(stderr, "%s\n", line->c_str());
    }
  }).IgnoreError();
}

// An error of a library is a connection that came to nothing: no more than a warning here.
void OfGrpc(gpr_log_func_args* line) {
  Write(line->severity >= GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarn : LogLevel::kInfo, "grpc",
        line->message);
}

void OfProtobuf(google::protobuf::LogLevel level, const char*, int, const std::string& message) {
  if (level >= google::protobuf::LOGLEVEL_WARNING) Write(LogLevel::kWarn, "protobuf", message);
}

}  // namespace

std::optional<std::string> LineLimit::Pass(std::string_view line, MonotonicTime now) {
  MutexLock lock(mutex_);
  if (minute_ == MonotonicTime::min() || now >= minute_ + std::chrono::minutes(1)) {
    minute_ = now;
    passed_ = 0;
  }
  if (passed_ == kLinesAMinute) {
    ++left_out_;
    return std::nullopt;
  }
  ++passed_;
  std::string text(line);
  if (left_out_ > 0) {
    text = absl::StrCat("(", left_out_, " lines of libraries were left out) ", text);
    left_out_ = 0;
  }
  return text;
}

void BoundLibraryLogs(LogSink log) {
  if (log) {
    MutexLock lock(TheBounded().mutex);
    TheBounded().log = std::move(log);
  }
  gpr_set_log_function(OfGrpc);
  google::protobuf::SetLogHandler(OfProtobuf);
}

}  // namespace merganser
