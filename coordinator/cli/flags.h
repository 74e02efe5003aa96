// Flags, and the frame of a main, that both programs have.
#ifndef MERGANSER_COORDINATOR_CLI_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_FLAGS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/cli/commands.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// "merganser 0.2.0 (commit 1234abcd, numerics 7, AVX3_ZEN4)", and a line of all instruction sets
// that this processor has; the one in parentheses is computed with.
std::string VersionText();

// A flag of bytes that reads as people write them.
void AddMemory(CLI::App& command, uint64_t& memory);
void AddThreads(CLI::App& command, int& threads);
// --read-rate.
void AddReadRate(CLI::App& command, std::optional<uint64_t>& rate);

// --metrics-file and --metrics-label.
void AddMetricsFlags(CLI::App& command, MetricsFlags& flags);

// RECIPE, OUTPUT, and what a merge may do with an output that holds something.
void AddMergeFlags(CLI::App& command, MergeFlags& flags);
// The same without RECIPE and OUTPUT.
void AddMergeRunFlags(CLI::App& command, MergeFlags& flags);

// Parses the command line. An exit code when the program has nothing more to do:
// help or the version were printed, or `refuse` was told what is wrong. Of commands that read a
// recipe, mergekit's flags are recognised: `notes` gets a line for each that is needless.
std::optional<int> Parse(CLI::App& app, int argc, char** argv,
                         const std::function<void(const absl::Status&)>& refuse,
                         std::vector<std::string>& notes);

// Whether this processor can do what the kernels need; chooses their instruction
// set, as MERGANSER_SIMD says.
absl::Status ChooseSimd();

// Runs `run`, and reports what it throws and output that nobody could take.
int RunMain(const std::function<int()>& run);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_FLAGS_H_
