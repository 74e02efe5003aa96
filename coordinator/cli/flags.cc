#include "coordinator/cli/flags.h"

#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/guarded.h"
#include "common/base/memory_reserve.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "coordinator/cli/before_main.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/mergekit_flags.h"
#include "coordinator/cli/metrics_file.h"
#include "coordinator/cli/process_limits.h"
#include "coordinator/cli/store_flags.h"

namespace merganser::cli {
namespace {

constexpr char kDefaultMemory[] = "8GiB";

// Whether nobody reads a pipe any more: `merganser list | head` has what it wants.
bool ReaderLeft(int fd) {
  pollfd pipe = {fd, POLLOUT, 0};
  return poll(&pipe, 1, /*timeout=*/0) == 1 && (pipe.revents & POLLERR) != 0;
}

// Whether the command is one to which mergekit's command lines are like.
bool ReadsRecipe(const CLI::App& app, int argc, char** argv) {
  if (app.get_subcommands(nullptr).empty()) return true;  // a program of one command
  if (argc < 2) return false;
  const std::string_view command = argv[1];
  return command == "merge" || command == "plan" || command == "analyze" || command == "submit";
}

}  // namespace

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

void AddMetricsFlags(CLI::App& command, MetricsFlags& flags) {
  CLI::Option* file = command.add_option(
      "--metrics-file", flags.file,
      "File, such as /var/lib/prometheus/node-exporter/merge.prom, in which metrics are told every "
      "10 seconds and at the end");
  command
      .add_option_function<std::vector<std::string>>(
          "--metrics-label",
          [&labels = flags.labels](const std::vector<std::string>& given) {
            for (const std::string& text : given) {
              const absl::Status added = AddCommonLabel(text, labels);
              if (!added.ok()) {
                throw CLI::ValidationError("--metrics-label", std::string(added.message()));
              }
            }
          },
          "NAME=VALUE that all of them get: it tells processes of one machine apart. May be given "
          "again")
      ->expected(1)
      ->take_all()
      ->needs(file);
  // For tests, and so not among those that are listed.
  command
      .add_option_function<double>(
          "--metrics-every",
          [&period = flags.period](double seconds) {
            period = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
          })
      ->check(CLI::Range(0.01, 86400.0))
      ->group("");
}

void AddMergeFlags(CLI::App& command, MergeFlags& flags) {
  command.add_option("RECIPE", flags.recipe, "Recipe (YAML)")->required();
  command.add_option("OUTPUT", flags.output, "Folder or URI of the merged checkpoint")->required();
  AddMergeRunFlags(command, flags);
}

void AddMergeRunFlags(CLI::App& command, MergeFlags& flags) {
  CLI::Option* overwrite =
      command.add_flag("--overwrite", flags.overwrite, "Replace what OUTPUT holds");
  command
      .add_flag("--resume", flags.resume,
                "Go on with a merge of this recipe that was killed or interrupted; begins one if "
                "there is none, and does nothing if it is complete")
      ->excludes(overwrite);
  command
      .add_option_function<double>(
          "--record-every",
          [&flags](double seconds) { flags.record_ms = static_cast<int64_t>(seconds * 1000); },
          "Seconds between records of what is done: what a crash may cost")
      ->check(CLI::Range(0.01, 86400.0))
      ->default_str("5");
  command.add_flag("--verify", flags.verify,
                   "Read the output back afterwards, every byte against its checksum");
  AddMetricsFlags(command, flags.metrics);
  AddLogFlags(command, flags.log, /*standing=*/false);
  AddStoreFlags(command, flags.storage);
  // For tests, and so not among those that are listed.
  command
      .add_option_function<double>(
          "--beat-every",
          [&flags](double seconds) { flags.beat_ms = static_cast<int64_t>(seconds * 1000); })
      ->check(CLI::Range(0.01, 60.0))
      ->group("");
}

std::optional<int> Parse(CLI::App& app, int argc, char** argv,
                         const std::function<void(const absl::Status&)>& refuse,
                         std::vector<std::string>& notes) {
  std::vector<char*> arguments(argv, argv + argc);
  if (ReadsRecipe(app, argc, argv)) {
    absl::StatusOr<MergekitFlags> taken = TakeMergekitFlags(arguments);
    if (!taken.ok()) {
      refuse(taken.status());
      return kWrongRequest;
    }
    arguments = std::move(taken->rest);
    notes = std::move(taken->notes);
  }
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    refuse(absl::InvalidArgumentError(
        absl::StrCat(OneLine(error.what()), "; see ", app.get_name(), " --help")));
    return kWrongRequest;
  }
  return std::nullopt;
}

absl::Status ChooseSimd() {
  MERGANSER_RETURN_IF_ERROR(CheckCpu());
  const char* simd = std::getenv("MERGANSER_SIMD");
  if (simd == nullptr || *simd == '\0') return absl::OkStatus();
  return Annotate(ForceSimd(simd), "MERGANSER_SIMD");
}

int RunMain(const std::function<int()>& run) {
  MainBegins();
  // A reader of our output that leaves, or a file size limit, is an error to
  // report, not an end without clearing up.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  FitHeapToLimits();
  KeepMemoryReserve();
  int code = kFailed;
  const absl::Status status = Guarded([&] { code = run(); });
  if (!status.ok()) code = Fail(status, Phase::kRunning);
  if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && !ReaderLeft(STDOUT_FILENO)) {
    PrintError(absl::UnavailableError("standard output could not be written whole"));
    if (code == kDone) code = kRetryable;
  }
  return code;
}

}  // namespace merganser::cli
