// What a line of the log is, for all that has something to tell. No logger is here: whoever tells
// is handed a LogSink by whoever made it, so that a library has no statics and a test hears what it
// says. The program's own sink is coordinator/cli/process_log.h, over LogWriter.
#ifndef MERGANSER_COMMON_BASE_LOG_H_
#define MERGANSER_COMMON_BASE_LOG_H_

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"

namespace merganser {

enum class LogLevel : uint8_t {
  kDebug,  // what every unit does
  kInfo,   // what an operator wants to have on record
  kWarn,   // went wrong, and the work goes on
  kError,  // somebody has to do something
};

// "debug", "info", "warn", "error".
std::string_view LogLevelName(LogLevel level);

// What a line is about, so that lines can be found by it. Keys are the same everywhere: job (its
// name, "jobs/ID"), owner, output, priority, state, round, unit (its number), tensor, worker, peer,
// code (absl's, of a failure).
struct LogField {
  // `key` outlives the line: a literal.
  template <std::convertible_to<std::string_view> Text>
  LogField(std::string_view key_in, const Text& text)
      : key(key_in), value(std::string_view(text)) {}
  template <std::integral Number>
  LogField(std::string_view key_in, Number of)
      : key(key_in), value(std::to_string(of)), number(true) {}

  std::string_view key;
  std::string value;    // a field without one is left out
  bool number = false;  // JSON has it without quotes
};

struct LogLine {
  LogLevel level = LogLevel::kInfo;
  std::string message;  // any text; whoever writes it makes one harmless line of it
  std::vector<LogField> fields = {};
  std::optional<WallTime> time = {};  // when it was told, where that is not when it is written
};

// Called from any thread, also under locks; must not throw, and may be empty.
using LogSink = std::function<void(const LogLine&)>;

// Tells `sink`, unless it is empty.
inline void Log(const LogSink& sink, LogLevel level, std::string message,
                std::vector<LogField> fields = {}) {
  if (sink) sink({level, std::move(message), std::move(fields)});
}

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_LOG_H_
