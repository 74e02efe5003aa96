#include "coordinator/cli/exit_code.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/terminal.h"

namespace merganser::cli {

int ExitCodeFor(const absl::Status& status, Phase phase) {
  if (status.ok()) return kDone;
  if (absl::IsCancelled(status)) return kInterrupted;
  if (absl::IsUnauthenticated(status)) return kWrongRequest;  // another token, or certificate
  if (IsRetryable(status)) return kRetryable;
  return phase == Phase::kPlanning ? kWrongRequest : kFailed;
}

void PrintError(const absl::Status& status) {
  const absl::Status printed = Guarded([&] {
    if (LogsJson()) {
      Log(LogLevel::kError, std::string(status.message()),
          {{"code", absl::StatusCodeToString(status.code())}});
      return;
    }
    WriteErrorLine(absl::StrCat("merganser: error: ", OneLine(std::string(status.message()))));
  });
  if (printed.ok()) return;
  // No memory for the line; stderr has no buffer of its own.
  std::fputs("merganser: error: ", stderr);
  for (const char c : status.message()) std::fputc(c >= 0x20 && c < 0x7f ? c : '?', stderr);
  std::fputc('\n', stderr);
}

int Fail(const absl::Status& status, Phase phase) {
  PrintError(status);
  return ExitCodeFor(status, phase);
}

}  // namespace merganser::cli
