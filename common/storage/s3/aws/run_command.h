// Programs that print something.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_RUN_COMMAND_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_RUN_COMMAND_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace merganser::s3 {

struct CommandLimits {
  Duration time = std::chrono::seconds(60);
  size_t output = size_t{1} << 20;  // bytes
};

// Runs the program `words[0]` (looked for in PATH) with the rest as its arguments, without a shell,
// and returns what it wrote to its standard output. It has this process' environment, no input, and
// its standard error goes nowhere: there may be keys in it. It and its children are killed when it
// runs longer or writes more than `limits` say. A program that is not there, ends with another code
// than 0, or is killed is kUnauthenticated; no message quotes its arguments or what it wrote.
absl::StatusOr<std::string> RunCommand(const std::vector<std::string>& words,
                                       const CommandLimits& limits = {});

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_RUN_COMMAND_H_
