// `merganser analyze`: what a merge would come to, measured on its inputs; nothing is written.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"
#include "common/engine/working_folder.h"
#include "common/linalg/kernels.h"
#include "common/plan/plan_text.h"
#include "common/prepare/prepare.h"
#include "common/publish/report.h"
#include "common/storage/discarding_store.h"
#include "common/storage/file/file_store.h"
#include "common/storage/memory/memory_store.h"
#include "common/storage/stores.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/embedded_executor.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/merge_run.h"
#include "coordinator/cli/progress.h"
#include "coordinator/cli/report_output.h"
#include "coordinator/cli/store_flags.h"
#include "coordinator/cli/version.h"
#include "coordinator/web/page.h"
#include "coordinator/web/summary.h"
#include "worker/unit_source.h"

namespace merganser::cli {
namespace {

constexpr char kUid[] = "analysis";
constexpr size_t kWarningsShown = 10;

struct AnalyzeFlags {
  std::string recipe;
  std::string html;  // file for a page; "-" is stdout, and then nothing else goes there
  bool json = false;
  int threads = AllCores();
  uint64_t memory = 0;
  StoreOptions storage;
};

// For what rounds leave for later ones: a folder of its own for as long as it lives.
class Scratch {
 public:
  static absl::StatusOr<std::unique_ptr<Scratch>> Make() {
    std::error_code error;
    const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
    if (error) {
      return absl::NotFoundError(
          absl::StrCat("no folder for temporary files: set TMPDIR to one; ", error.message()));
    }
    std::string path = (parent / "merganser-analyze-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) {
      return ErrnoStatus(errno, absl::StrCat("TMPDIR: make ", OneLine(path)));
    }
    return std::unique_ptr<Scratch>(new Scratch(std::move(path)));
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}

  const std::string path_;
};

// Where a job of `plan` puts what it does not keep.
absl::StatusOr<std::shared_ptr<ObjectStore>> Nowhere(const Plan& plan,
                                                     std::unique_ptr<Scratch>& scratch) {
  if (plan.rounds == 1) return MakeDiscardingStore(MakeMemoryStore(kUid, {}));
  MERGANSER_ASSIGN_OR_RETURN(scratch, Scratch::Make());
  return MakeDiscardingStore(MakeFileStore(scratch->path()));
}

absl::StatusOr<std::string> Analyze(const AnalyzeFlags& flags, const Stores& stores,
                                    const PreparedMerge& prepared,
                                    const std::shared_ptr<ObjectStore>& nowhere,
                                    uint64_t tensor_memory, InterruptWatcher& interrupts) {
  const Plan& plan = prepared.plan;
  RunFacts facts;
  facts.analysis = true;
  facts.program = ProgramName();
  facts.simd = std::string(ActiveSimd());
  facts.threads = flags.threads;
  facts.started = SystemClock().WallNow();
  std::vector<PlannedWrite> writes;
  for (const PlannedShard& shard : plan.shards) {
    MERGANSER_ASSIGN_OR_RETURN(writes.emplace_back(),
                               nowhere->BeginWrite({shard.key, shard.size}, kUid));
  }
  MERGANSER_RETURN_IF_ERROR(
      RecordWrites(*nowhere, kUid, /*epoch=*/1, WritesRecord::kBegun, writes));
  MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<const JobContext> job,
                             MakeJobContext(kUid, kUid, plan, nowhere, writes, stores));
  EmbeddedExecutor executor(flags.threads);
  interrupts.SetHandler([&executor] { executor.Fail(absl::CancelledError("interrupted")); });
  const HandlerScope handlers(interrupts);
  const TotalWork total = AllRounds(plan);
  absl::StatusOr<std::vector<UnitResult>> results;
  {
    ProgressPrinter printer([&] {
      const RunProgress progress = executor.progress();
      ProgressSample sample;
      sample.phase = "analyzing";
      sample.bytes_done = progress.bytes_done;
      sample.bytes_total = total.bytes;
      sample.units_done = progress.units_done;
      sample.units_total = total.units;
      return sample;
    });
    results =
        executor.Execute({job, "", {}, tensor_memory, stores.metrics(), [](const UnitResult&) {}});
  }
  MERGANSER_RETURN_IF_ERROR(results.status());
  for (UnitResult& result : *results) result.bytes_written = 0;
  facts.finished = SystemClock().WallNow();
  facts.storage = stores.Counts();
  return BuildReport(plan, *results, facts);
}

// The report that a merge would have.
int Run(const AnalyzeFlags& flags, InterruptWatcher& interrupts) {
  const absl::StatusOr<std::string> text = ReadRecipeFile(flags.recipe);
  if (!text.ok()) return Fail(text.status(), Phase::kPlanning);
  const Stores stores(flags.storage);
  const absl::StatusOr<PreparedMerge> prepared =
      PrepareMerge(*text, flags.recipe, RecipeDirectories(flags.recipe), stores, StoreTraits());
  if (!prepared.ok()) return Fail(prepared.status(), Phase::kPlanning);
  const absl::StatusOr<uint64_t> memory = TensorMemory(flags.memory, prepared->plan);
  if (!memory.ok()) return Fail(memory.status(), Phase::kPlanning);
  std::unique_ptr<Scratch> scratch;
  const absl::StatusOr<std::shared_ptr<ObjectStore>> nowhere = Nowhere(prepared->plan, scratch);
  if (!nowhere.ok()) return Fail(nowhere.status(), Phase::kPlanning);
  std::fputs(WarningsText(prepared->plan, kWarningsShown).c_str(), stderr);
  const absl::StatusOr<std::string> report =
      Guarded([&] { return Analyze(flags, stores, *prepared, *nowhere, *memory, interrupts); });
  if (!report.ok()) return Fail(report.status(), Phase::kRunning);
  const absl::StatusOr<web::ReadReport> read = web::ReadReportText(
      *report, absl::StrCat("none: an analysis of ", OneLine(flags.recipe)), OneLine(flags.recipe));
  if (!read.ok()) return Fail(read.status(), Phase::kRunning);
  return ShowReport(flags.json ? web::SummaryJson(*read, read->findings.fell_back.size()) + "\n"
                               : web::SummaryText(*read),
                    flags.html, flags.html.empty() ? "" : web::ReportPage(*read));
}

}  // namespace

void AddAnalyze(Commands& commands) {
  const auto flags = std::make_shared<AnalyzeFlags>();
  CLI::App& command = commands.Add(
      "analyze", "Say what a merge would come to; everything is read and nothing is written",
      [flags] {
        return WithInterrupts(
            [&](InterruptWatcher& interrupts) { return Run(*flags, interrupts); });
      });
  command.add_option("RECIPE", flags->recipe, "Recipe (YAML)")->required();
  command.add_option("--html", flags->html,
                     "Write a page that needs nothing else to this file; - is stdout");
  command.add_flag("--json", flags->json, "Print JSON");
  AddThreads(command, flags->threads);
  AddMemory(command, flags->memory);
  AddReadStoreFlags(command, flags->storage);
}

}  // namespace merganser::cli
