#include "coordinator/cli/exit_code.h"

#include <cstdio>
#include <string>

#include "common/base/guarded.h"
#include "common/base/status.h"

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
    const std::string message = OneLine(std::string(status.message()));
    std::fprintf(stderr, "merganser: error: %s\n", message.c_str());
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
