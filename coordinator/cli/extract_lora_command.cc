// `merganser extract-lora`: an adapter that makes a model of its base.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/executor.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/extract_lora.h"
#include "common/engine/extract_report.h"
#include "common/engine/model_pair.h"
#include "common/engine/new_folder.h"
#include "common/engine/prepare.h"
#include "common/storage/uri.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/lora_commands.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/progress.h"
#include "worker/unit_runner.h"

namespace merganser::cli {
namespace {

constexpr uint64_t kMostRank = 65'536;
constexpr size_t kWarningsShown = 10;

// Threads whose work somebody may no longer want.
class CancellableExecutor final : public Executor {
 public:
  explicit CancellableExecutor(int threads) : pool_(static_cast<size_t>(threads - 1)) {}
  void ParallelFor(size_t count, const std::function<void(size_t)>& block) override {
    pool_.ParallelFor(count, block);
  }
  bool cancelled() const override { return cancelled_; }
  void Cancel() { cancelled_ = true; }

 private:
  ThreadPool pool_;
  std::atomic<bool> cancelled_ = false;
};

absl::StatusOr<std::string> OutputPath(const std::string& output) {
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

void TellWarnings(const std::vector<std::string>& warnings) {
  const size_t shown = std::min(kWarningsShown, warnings.size());
  for (size_t i = 0; i < shown; ++i) Log(LogLevel::kWarn, warnings[i]);
  if (shown < warnings.size()) {
    Log(LogLevel::kWarn, absl::StrCat("and ", warnings.size() - shown, " more"));
  }
}

absl::StatusOr<ExtractedLora> Extract(const ModelPair& pair, const ExtractLoraOptions& options,
                                      const std::string& output, const Stores& stores,
                                      CancellableExecutor& executor) {
  ExtractProgress progress;
  const ProgressPrinter printer([&] {
    ProgressSample sample;
    sample.phase = "extracting";
    sample.bytes_done = progress.bytes_done;
    sample.bytes_total = progress.bytes_total;
    sample.units_done = progress.tensors_done;
    sample.units_total = progress.tensors_total;
    return sample;
  });
  return ExtractLora(pair, options, output, stores, executor, progress);
}

}  // namespace

void AddExtractLoraFlags(CLI::App& command, ExtractLoraFlags& flags) {
  command.add_option("BASE", flags.base, "The model that MODEL was trained from")->required();
  command.add_option("MODEL", flags.model, "The trained model: folder, URI or cached org/name")
      ->required();
  command.add_option("OUT", flags.output, "Folder for the adapter, which is not there yet")
      ->required();
  command.add_option("--rank", flags.rank, "Rank of the adapter; with --energy at most")
      ->required()
      ->check(CLI::Range(uint64_t{1}, kMostRank));
  command
      .add_option("--energy", flags.energy,
                  "Of each layer the least rank that keeps this share of the difference's squares, "
                  "such as 0.95")
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option_function<std::string>(
          "--dtype",
          [&dtype = flags.dtype](const std::string& text) {
            const std::optional<DType> parsed = ParseTorchFloat(text);
            if (!parsed.has_value() || *parsed == DType::kF64) {
              throw CLI::ValidationError(
                  "--dtype", "found " + OneLine(text) + ", expected float32, bfloat16 or float16");
            }
            dtype = *parsed;
          },
          "Of the adapter: float32, bfloat16 or float16")
      ->default_str("float32");
  command
      .add_option(
          "--modules", flags.modules.only,
          "Only these layers, by name or its end, such as q_proj,v_proj; also an embedding, "
          "output head or router, which are left out otherwise")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--exclude", flags.modules.exclude, "Not these layers")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_flag("--save-modules", flags.save_modules,
                   "Keep norms and other modules that differ whole (PEFT's modules_to_save)");
}

int RunExtractLora(const ExtractLoraFlags& flags, InterruptWatcher& interrupts) {
  const Stores stores(flags.storage);
  const absl::StatusOr<std::string> output = OutputPath(flags.output);
  if (!output.ok()) return Fail(output.status(), Phase::kPlanning);
  const absl::StatusOr<ModelPair> pair = OpenModelPair({flags.base, {}}, flags.model, stores);
  if (!pair.ok()) return Fail(pair.status(), Phase::kPlanning);
  TellWarnings(pair->warnings);
  ExtractLoraOptions options;
  options.rank = {flags.rank, flags.energy};
  options.dtype = flags.dtype;
  options.modules = flags.modules;
  options.save_modules = flags.save_modules;
  options.memory = flags.memory;
  options.process_memory = kProcessMemory;
  CancellableExecutor executor(flags.threads);
  interrupts.SetHandler([&executor] { executor.Cancel(); });
  const HandlerScope handlers(interrupts);
  const absl::StatusOr<ExtractedLora> lora =
      Guarded([&] { return Extract(*pair, options, *output, stores, executor); });
  if (!lora.ok()) {
    const bool request = absl::IsInvalidArgument(lora.status()) ||
                         absl::IsAlreadyExists(lora.status()) ||
                         absl::IsPermissionDenied(lora.status());
    return Fail(lora.status(), request ? Phase::kPlanning : Phase::kRunning);
  }
  TellWarnings(ExtractWarnings(*lora));
  std::fputs(ExtractText(*lora).c_str(), stdout);
  std::printf("written to %s\n", OneLine(*output).c_str());
  return kDone;
}

}  // namespace merganser::cli
