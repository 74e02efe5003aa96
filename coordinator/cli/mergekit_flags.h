// The flags of mergekit's programs, on a command line of ours: command lines are copied from
// tutorials as recipes are.
#ifndef MERGANSER_COORDINATOR_CLI_MERGEKIT_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_MERGEKIT_FLAGS_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace merganser::cli {

struct MergekitFlags {
  std::vector<char*> rest;         // of the arguments, without those that change nothing
  std::vector<std::string> notes;  // one line for each of these
};

// `arguments` are argv's, the program's name among them; what follows "--" is left alone.
// kInvalidArgument for a flag that has another name here, or none: the message says what to do.
absl::StatusOr<MergekitFlags> TakeMergekitFlags(std::span<char* const> arguments);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MERGEKIT_FLAGS_H_
