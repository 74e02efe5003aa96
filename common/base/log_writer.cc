#include "common/base/log_writer.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "common/base/guarded.h"
#include "common/base/log_format.h"
#include "common/base/mutex.h"
#include "spdlog/details/null_mutex.h"
#include "spdlog/logger.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/base_sink.h"

namespace merganser {
namespace {

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%eZ %v";
constexpr char kJsonPattern[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v})";

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// LogWriter's lock keeps it to one call at a time.
class LineSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit LineSink(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    write_({line.data(), line.size()});
  }
  void flush_() override {}

  const std::function<void(std::string_view)> write_;
};

}  // namespace

struct LogWriter::Impl {
  explicit Impl(LogOptions options)
      : format(options.format),
        redactor(std::move(options.redactor)),
        logger("merganser", std::make_shared<LineSink>(std::move(options.write))) {
    logger.set_level(LevelOf(options.level));
    logger.set_formatter(std::make_unique<spdlog::pattern_formatter>(
        format == LogFormat::kJson ? kJsonPattern : kTextPattern, spdlog::pattern_time_type::utc,
        /*eol=*/""));
    // Its own would write to stderr as it likes.
    logger.set_error_handler([](const std::string&) {});
  }

  const LogFormat format;
  const Redactor redactor;
  Mutex mutex;
  spdlog::logger logger MERGANSER_GUARDED_BY(mutex);
};

LogWriter::LogWriter(LogOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

LogWriter::~LogWriter() = default;

void LogWriter::Write(const LogLine& line, WallTime now) {
  Guarded([&] {
    MutexLock lock(impl_->mutex);
    const spdlog::level::level_enum level = LevelOf(line.level);
    if (!impl_->logger.should_log(level)) return;
    LogLine harmless{line.level, impl_->redactor.Redact(line.message), line.fields};
    for (LogField& field : harmless.fields) {
      if (!field.number) field.value = impl_->redactor.Redact(field.value);
    }
    const std::string text =
        impl_->format == LogFormat::kJson ? LogJson(harmless) : LogText(harmless);
    impl_->logger.log(std::chrono::time_point_cast<spdlog::log_clock::duration>(now),
                      spdlog::source_loc{}, level, spdlog::string_view_t(text));
  }).IgnoreError();
}

}  // namespace merganser
