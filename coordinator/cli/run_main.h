// The frame of a main, which both programs have.
#ifndef MERGANSER_COORDINATOR_CLI_RUN_MAIN_H_
#define MERGANSER_COORDINATOR_CLI_RUN_MAIN_H_

#include <functional>

#include "absl/status/status.h"

namespace merganser::cli {

// Whether this processor can do what the kernels need; chooses their instruction
// set, as MERGANSER_SIMD says.
absl::Status ChooseSimd();

// Runs `run`, and reports what it throws and output that nobody could take.
int RunMain(const std::function<int()>& run);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_RUN_MAIN_H_
