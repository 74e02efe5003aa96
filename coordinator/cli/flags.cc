#include "coordinator/cli/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace merganser::cli {
namespace {

constexpr char kDefaultMemory[] = "8GiB";

}  // namespace

int AllCores() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

void AddMemory(CLI::App& command, uint64_t& memory) {
  memory = 8 * kGiB;
  command
      .add_option_function<std::string>(
          "--memory",
          [&memory](const std::string& text) {
            const absl::StatusOr<uint64_t> bytes = ParseBytes(text);
            if (!bytes.ok()) {
              throw CLI::ValidationError("--memory", std::string(bytes.status().message()));
            }
            memory = *bytes;
          },
          "Memory the process may use, such as 8GiB")
      ->default_str(kDefaultMemory);
}

void AddReadRate(CLI::App& command, std::optional<uint64_t>& rate) {
  command.add_option_function<std::string>(
      "--read-rate",
      [&rate](const std::string& text) {
        const absl::StatusOr<uint64_t> bytes = ParseBytes(text);
        if (!bytes.ok()) {
          throw CLI::ValidationError("--read-rate", std::string(bytes.status().message()));
        }
        if (*bytes == 0) throw CLI::ValidationError("--read-rate", "found 0, expected more");
        rate = *bytes;
      },
      "Bytes a second that were measured of the inputs' storage, such as 400MiB: says how long "
      "reading takes");
}

void AddThreads(CLI::App& command, int& threads) {
  command.add_option("--threads", threads, "Threads that compute (default: all cores)")
      ->check(CLI::Range(1, 1024));
}

}  // namespace merganser::cli
