// Flags that many commands have.
#ifndef MERGANSER_COORDINATOR_CLI_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_FLAGS_H_

#include <cstdint>
#include <optional>

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// --memory, in bytes, which reads as people write them.
void AddMemory(CLI::App& command, uint64_t& memory);
// --threads. What `threads` is stays where the flag is not given: AllCores, as its text says.
void AddThreads(CLI::App& command, int& threads);
int AllCores();
// --read-rate.
void AddReadRate(CLI::App& command, std::optional<uint64_t>& rate);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_FLAGS_H_
