// What the program's exit tells a shell or a batch system.
#ifndef MERGANSER_COORDINATOR_CLI_EXIT_CODE_H_
#define MERGANSER_COORDINATOR_CLI_EXIT_CODE_H_

#include <string_view>

#include "absl/status/status.h"

namespace merganser::cli {

inline constexpr int kDone = 0;
inline constexpr int kWrongRequest = 2;   // recipe, flags, inputs: never retry
inline constexpr int kFailed = 3;         // failed while running
inline constexpr int kRetryable = 4;      // a retry may mend it
inline constexpr int kInterrupted = 130;  // SIGINT or SIGTERM

// While a request is still being understood, a failure that time cannot mend
// is the request's own.
enum class Phase { kPlanning, kRunning };

int ExitCodeFor(const absl::Status& status, Phase phase);

// Prints "merganser: error: MESSAGE", one line, to stderr; with --log-format json as an object.
void PrintError(const absl::Status& status);

// Both.
int Fail(const absl::Status& status, Phase phase);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_EXIT_CODE_H_
