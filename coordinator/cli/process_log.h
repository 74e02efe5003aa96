// The program's own log: what --log-format and --log-level say. It is the process', because an
// error may end the process from anywhere and libgrpc's handler has no argument to hand a logger
// in; libraries are handed ProcessLog() as a LogSink.
#ifndef MERGANSER_COORDINATOR_CLI_PROCESS_LOG_H_
#define MERGANSER_COORDINATOR_CLI_PROCESS_LOG_H_

#include <optional>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "common/base/log_writer.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

struct LogFlags {
  // None: for people. Notices as they are, "warning: " before warnings, no time, no fields.
  std::optional<LogFormat> format;
  LogLevel level = LogLevel::kInfo;
};

// --log-format and --log-level. `standing`: for a command that stays, whose lines have times by
// default.
void AddLogFlags(CLI::App& command, LogFlags& flags, bool standing);

// From now on; once, before other threads are started. What the environment has of secrets is
// never written.
void StartLog(const LogFlags& flags);

// Writes to stderr, from any thread; never throws. Before StartLog: for people.
void Log(const LogLine& line);
void Log(LogLevel level, std::string message, std::vector<LogField> fields = {});
LogSink ProcessLog();

// Whether lines are a log's, with times, and not for people.
bool LogsLines();
// Whether they are JSON: then everything on stderr is.
bool LogsJson();

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_PROCESS_LOG_H_
