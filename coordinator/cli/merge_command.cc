#include <sys/random.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/engine/job_output.h"
#include "common/engine/prepare.h"
#include "common/engine/report.h"
#include "common/engine/rounds.h"
#include "common/linalg/kernels.h"
#include "common/plan/plan_text.h"
#include "common/storage/open.h"
#include "common/storage/uri.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/progress.h"
#include "worker/sources/in_process.h"
#include "worker/unit_runner.h"

namespace merganser::cli {
namespace {

constexpr size_t kWarningsShown = 10;

std::string NewJobUid() {
  uint64_t bits = 0;
  if (getrandom(&bits, sizeof bits, 0) != sizeof bits) {
    bits = static_cast<uint64_t>(SystemClock().WallNow().time_since_epoch().count());
  }
  return absl::StrFormat("merge-%016x", bits);
}

// What the budget leaves for tensors, or what is wrong with it.
absl::StatusOr<uint64_t> TensorMemory(uint64_t budget, const Plan& plan) {
  const uint64_t process = ProcessMemory(plan);
  const uint64_t needed = plan.peak_leaf_memory + process;
  if (budget < needed) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--memory: found ", FormatBytes(budget), ", expected ", MemoryFlag(needed),
        " or more: the largest piece of this merge takes ", FormatBytes(plan.peak_leaf_memory),
        " and the program itself ", FormatBytes(process)));
  }
  return budget - process;
}

// What Begin refuses is the request's fault, unless storage failed.
Phase BeginPhase(const absl::Status& status) {
  const bool request = absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
                       absl::IsPermissionDenied(status) || absl::IsNotFound(status);
  return request ? Phase::kPlanning : Phase::kRunning;
}

// The part of a merge after its claim; the caller abandons the output on failure.
absl::StatusOr<std::string> RunAndPublish(const MergeFlags& flags, const PreparedMerge& prepared,
                                          const std::string& output_uri, const std::string& job_uid,
                                          uint64_t tensor_memory, JobOutput& output,
                                          InterruptWatcher& interrupts) {
  RunFacts facts;
  facts.program = ProgramName();
  facts.simd = std::string(ActiveSimd());
  facts.threads = flags.threads;
  facts.started = SystemClock().WallNow();

  MERGANSER_ASSIGN_OR_RETURN(
      std::shared_ptr<const JobContext> job,
      MakeJobContext(output_uri, job_uid, prepared.plan, output_uri, output.writes()));
  InProcessSource source(job);
  interrupts.SetHandler([&source] { source.Interrupt(); });
  RunnerOptions options;
  options.threads = flags.threads;
  options.memory = tensor_memory;
  const TotalWork total = AllRounds(prepared.plan);
  absl::Status run;
  {
    ProgressPrinter printer([&] {
      const RunProgress progress = source.progress();
      return ProgressSample{progress.bytes_done, total.bytes, progress.units_done, total.units,
                            prepared.plan.rounds == 1 ? ""
                                                      : absl::StrCat("round ", progress.round + 1,
                                                                     " of ", prepared.plan.rounds)};
    });
    run = RunUnits(source, options);
  }
  // From here on the merge goes to its end: half a publication helps nobody.
  interrupts.SetHandler(
      [] { std::fprintf(stderr, "publishing the merged model; a second signal stops at once\n"); });
  if (!run.ok()) return run;
  MERGANSER_ASSIGN_OR_RETURN(std::vector<UnitResult> results, source.TakeResults());
  facts.finished = SystemClock().WallNow();
  std::string report = BuildReport(prepared.plan, results, facts);
  MERGANSER_RETURN_IF_ERROR(output.Publish(results, prepared.donors(), report));
  for (const std::string& warning : output.warnings()) {
    std::fprintf(stderr, "warning: %s\n", OneLine(warning).c_str());
  }
  return report;
}

}  // namespace

int RunMerge(const MergeFlags& flags, InterruptWatcher& interrupts) {
  const absl::StatusOr<std::string> text = ReadRecipeFile(flags.recipe);
  if (!text.ok()) return Fail(text.status(), Phase::kPlanning);
  const std::vector<std::string> directories = RecipeDirectories(flags.recipe);
  absl::StatusOr<Uri> uri = ParseUri(flags.output);
  if (uri.ok()) uri = Absolute(*uri, directories.front());
  if (!uri.ok()) return Fail(uri.status(), Phase::kPlanning);
  const std::string output_uri = uri->ToString();
  absl::StatusOr<std::shared_ptr<ObjectStore>> store = OpenStore(output_uri);
  if (!store.ok()) return Fail(store.status(), Phase::kPlanning);
  const absl::StatusOr<PreparedMerge> prepared = PrepareMerge(*text, flags.recipe, directories);
  if (!prepared.ok()) return Fail(prepared.status(), Phase::kPlanning);
  const absl::StatusOr<uint64_t> tensor_memory = TensorMemory(flags.memory, prepared->plan);
  if (!tensor_memory.ok()) return Fail(tensor_memory.status(), Phase::kPlanning);

  std::fputs(WarningsText(prepared->plan, kWarningsShown).c_str(), stderr);

  interrupts.SetHandler([] {});  // beginning is short; the run asks afterwards
  JobOutputOptions options;
  options.job_uid = NewJobUid();
  options.overwrite = flags.overwrite;
  absl::StatusOr<std::unique_ptr<JobOutput>> output =
      JobOutput::Begin(*store, output_uri, prepared->plan, options);
  if (!output.ok()) return Fail(output.status(), BeginPhase(output.status()));

  // A system that is out of threads or memory throws from the standard library:
  // the claim must not outlive that.
  absl::StatusOr<std::string> report = absl::InternalError("no report");
  try {
    report = RunAndPublish(flags, *prepared, output_uri, options.job_uid, *tensor_memory, **output,
                           interrupts);
  } catch (const std::exception& error) {
    report = absl::ResourceExhaustedError(
        absl::StrCat("the system refused threads or memory: ", error.what()));
  }
  if (!report.ok()) {
    if (const absl::Status abandoned = (*output)->Abandon(); !abandoned.ok()) {
      std::fprintf(stderr, "warning: left behind in %s: %s\n", output_uri.c_str(),
                   OneLine(std::string(abandoned.message())).c_str());
    }
    return Fail(report.status(), Phase::kRunning);
  }
  if (const absl::StatusOr<std::string> summary = SummariseReport(*report); summary.ok()) {
    std::printf("%s", summary->c_str());
  }
  std::printf("merged into %s\n", output_uri.c_str());
  return kDone;
}

}  // namespace merganser::cli
