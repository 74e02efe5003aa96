#include "coordinator/cli/process_log.h"

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "coordinator/cli/terminal.h"

namespace merganser::cli {
namespace {

struct Started {
  explicit Started(const LogFlags& flags) : level(flags.level) {
    if (!flags.format.has_value()) return;
    json = *flags.format == LogFormat::kJson;
    writer = std::make_unique<LogWriter>(
        LogOptions{*flags.format, flags.level, redactor, WriteErrorLine});
  }

  const Redactor redactor{SecretsOfEnvironment()};
  const LogLevel level;
  bool json = false;
  std::unique_ptr<LogWriter> writer;  // null: for people
};

// Never destroyed: threads may log while the process exits.
const Started*& Chosen() {
  static const Started* chosen = nullptr;
  return chosen;
}

const Started& TheLog() {
  if (Chosen() != nullptr) return *Chosen();
  static const auto* const for_people = new Started(LogFlags());
  return *for_people;
}

}  // namespace

void AddLogFlags(CLI::App& command, LogFlags& flags, bool standing) {
  if (standing) flags.format = LogFormat::kText;
  static const std::map<std::string, LogFormat> kFormats = {{"text", LogFormat::kText},
                                                            {"json", LogFormat::kJson}};
  static const std::map<std::string, LogLevel> kLevels = {{"debug", LogLevel::kDebug},
                                                          {"info", LogLevel::kInfo},
                                                          {"warn", LogLevel::kWarn},
                                                          {"error", LogLevel::kError}};
  command
      .add_option_function<std::string>(
          "--log-format", [&flags](const std::string& name) { flags.format = kFormats.at(name); },
          standing ? "How lines on stderr are written: text, with time, level and what each is "
                     "about, or json, an object a line (default: text)"
                   : "Write stderr as a log: text, with time, level and what each line is about, "
                     "or json, an object a line (default: lines for people)")
      ->check(CLI::IsMember({"text", "json"}));
  command
      .add_option_function<std::string>(
          "--log-level", [&flags](const std::string& name) { flags.level = kLevels.at(name); },
          "Least level of what is written: debug, info, warn or error (default: info)")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
}

void StartLog(const LogFlags& flags) { Chosen() = new Started(flags); }

void Log(const LogLine& line) {
  Guarded([&] {
    const Started& log = TheLog();
    if (log.writer != nullptr) {
      log.writer->Write(line, line.time.has_value() ? *line.time : SystemClock().WallNow());
      return;
    }
    if (line.level < log.level) return;
    WriteErrorLine(absl::StrCat(line.level >= LogLevel::kWarn ? "warning: " : "",
                                OneLine(log.redactor.Redact(line.message))));
  }).IgnoreError();
}

void Log(LogLevel level, std::string message, std::vector<LogField> fields) {
  Log({level, std::move(message), std::move(fields)});
}

LogSink ProcessLog() {
  return [](const LogLine& line) { Log(line); };
}

bool LogsLines() { return TheLog().writer != nullptr; }

bool LogsJson() { return TheLog().json; }

}  // namespace merganser::cli
