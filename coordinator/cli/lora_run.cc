#include "coordinator/cli/lora_run.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/adapters/new_folder.h"
#include "common/base/status.h"
#include "common/prepare/recipe_models.h"
#include "common/storage/uri.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/process_log.h"

namespace merganser::cli {
namespace {

constexpr size_t kLinesShown = 10;

}  // namespace

void AddLoraDtype(CLI::App& command, std::optional<DType>& dtype, const char* otherwise) {
  command
      .add_option_function<std::string>(
          "--dtype",
          [&dtype](const std::string& text) {
            const std::optional<DType> parsed = ParseTorchFloat(text);
            if (!parsed.has_value() || *parsed == DType::kF64) {
              throw CLI::ValidationError(
                  "--dtype", "found " + OneLine(text) + ", expected float32, bfloat16 or float16");
            }
            dtype = *parsed;
          },
          "Of the adapter: float32, bfloat16 or float16")
      ->default_str(otherwise);
}

absl::StatusOr<std::string> LoraOutput(const std::string& output) {
  MERGANSER_ASSIGN_OR_RETURN(Uri uri, ParseUri(output));
  MERGANSER_ASSIGN_OR_RETURN(uri, Absolute(uri, RecipeDirectories("").front()));
  if (uri.scheme != "file") {
    return absl::InvalidArgumentError(
        absl::StrCat("OUT: found ", OneLine(uri.ToString()),
                     ", expected a folder on this machine: an adapter is written there, and "
                     "copied to storage elsewhere with the tools of that storage"));
  }
  MERGANSER_RETURN_IF_ERROR(CheckNothingAt(uri.path));
  return uri.path;
}

void TellLines(LogLevel level, const std::vector<std::string>& lines) {
  const size_t shown = std::min(kLinesShown, lines.size());
  const char* const note = level == LogLevel::kInfo ? "note: " : "";
  for (size_t i = 0; i < shown; ++i) Log(level, absl::StrCat(note, lines[i]));
  if (shown < lines.size()) {
    Log(level, absl::StrCat(note, "and ", lines.size() - shown, " more"));
  }
}

ProgressSample SampleOf(const ExtractProgress& progress, const char* phase) {
  ProgressSample sample;
  sample.phase = phase;
  sample.bytes_done = progress.bytes_done;
  sample.bytes_total = progress.bytes_total;
  sample.units_done = progress.tensors_done;
  sample.units_total = progress.tensors_total;
  return sample;
}

int FailLora(const absl::Status& status) {
  const bool request = absl::IsInvalidArgument(status) || absl::IsAlreadyExists(status) ||
                       absl::IsPermissionDenied(status);
  return Fail(status, request ? Phase::kPlanning : Phase::kRunning);
}

}  // namespace merganser::cli
