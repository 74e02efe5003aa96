// Both programs, as what is made of their flags needs them.
#ifndef MERGANSER_COORDINATOR_CLI_OUTLINED_PROGRAMS_H_
#define MERGANSER_COORDINATOR_CLI_OUTLINED_PROGRAMS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/cli/outline.h"

namespace merganser::cli {

// merganser-mpi's, which needs no MPI.
OutlineProgram MpiOutline();

// kInvalidArgument: the argument `what` is `found`, which is none of `expected`.
absl::Status NoneOf(const std::string& what, const std::string& found,
                    const std::vector<std::string>& expected);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_OUTLINED_PROGRAMS_H_
