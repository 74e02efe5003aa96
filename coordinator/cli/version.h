// What the program calls itself.
#ifndef MERGANSER_COORDINATOR_CLI_VERSION_H_
#define MERGANSER_COORDINATOR_CLI_VERSION_H_

#include <string>

namespace merganser::cli {

// "merganser 0.2.0".
std::string ProgramName();
// When that was released: "2026-11-30".
std::string ReleaseDate();

// "merganser 0.2.0 (commit 1234abcd, numerics 7, AVX3_ZEN4)", and a line of all instruction sets
// that this processor has; the one in parentheses is computed with.
std::string VersionText();

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_VERSION_H_
