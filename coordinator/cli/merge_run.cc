#include "coordinator/cli/merge_run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/guarded.h"
#include "common/base/random_id.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "common/engine/job_output.h"
#include "common/engine/lost_units.h"
#include "common/engine/overlap.h"
#include "common/engine/progress_log.h"
#include "common/engine/result_fold.h"
#include "common/engine/rounds.h"
#include "common/linalg/kernels.h"
#include "common/plan/pieces.h"
#include "common/plan/plan_text.h"
#include "common/prepare/prepare.h"
#include "common/publish/family_check.h"
#include "common/publish/publish_merge.h"
#include "common/publish/report.h"
#include "common/publish/small_files.h"
#include "common/storage/list.h"
#include "common/storage/stores.h"
#include "common/storage/uri.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/merge_metrics.h"
#include "coordinator/cli/merge_progress.h"
#include "coordinator/cli/metrics_file.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/progress.h"
#include "coordinator/cli/verify_merge.h"
#include "coordinator/cli/version.h"
#include "worker/progress_keeper.h"
#include "worker/unit_runner.h"

namespace merganser::cli {
namespace {

constexpr size_t kWarningsShown = 10;

std::string NewJobUid() { return absl::StrCat(std::string(kMergeRunPrefix), RandomHex(8)); }

}  // namespace

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

namespace {

// What is left of `tensor_memory` beside the histograms of units that are done. What is on record
// is no worse for an error: it is kept.
absl::StatusOr<uint64_t> BesideHistograms(uint64_t tensor_memory, const Plan& plan,
                                          const std::vector<UnitResult>& done) {
  const uint64_t histograms = CountsBytes(done);
  if (tensor_memory < histograms + plan.peak_leaf_memory) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "--memory: expected ", MemoryFlag(ProcessMemory(plan) + histograms + plan.peak_leaf_memory),
        " or more: what units that are done have told of the whole takes ", FormatBytes(histograms),
        ", and the largest piece of this merge ", FormatBytes(plan.peak_leaf_memory)));
  }
  return tensor_memory - histograms;
}

// Of a plan with many notes or warnings the first of each.
void TellWarnings(const Plan& plan) {
  const size_t noted = std::min(kWarningsShown, plan.notes.size());
  for (size_t i = 0; i < noted; ++i) {
    Log(LogLevel::kInfo, absl::StrCat("note: ", plan.notes[i]));
  }
  if (plan.notes.size() > noted) {
    Log(LogLevel::kInfo, absl::StrCat("note: and ", plan.notes.size() - noted,
                                      " more; `merganser plan` lists them all"));
  }
  const size_t shown = std::min(kWarningsShown, plan.warnings.size());
  for (size_t i = 0; i < shown; ++i) Log(LogLevel::kWarn, plan.warnings[i]);
  if (plan.warnings.size() == shown) return;
  Log(LogLevel::kWarn,
      absl::StrCat("and ", plan.warnings.size() - shown, " more; `merganser plan` lists them all"));
}

// What Begin refuses is the request's fault, unless storage failed.
Phase BeginPhase(const absl::Status& status) {
  const bool request = absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
                       absl::IsPermissionDenied(status) || absl::IsNotFound(status);
  return request ? Phase::kPlanning : Phase::kRunning;
}

// Has the keeper put down what it has when a run ends by an exception too.
struct Recording {
  ProgressKeeper& keeper;
  bool& recorded;
  ~Recording() { recorded = keeper.Finish(/*keep=*/true); }
};

// One merge, from its claim to its end.
class MergeRun {
 public:
  MergeRun(const MergeFlags& flags, const PreparedMerge& prepared, const Stores& stores,
           const std::string& output_uri, std::shared_ptr<ObjectStore> store,
           MergeProgress& progress, InterruptWatcher& interrupts)
      : flags_(flags),
        prepared_(prepared),
        stores_(stores),
        output_uri_(output_uri),
        store_(std::move(store)),
        progress_(progress),
        interrupts_(interrupts) {}

  // Claims the output, or goes on with what is there; waits where the claim's holder may run
  // on another machine. OK and complete() when there is nothing left to do.
  absl::Status Begin() {
    // Beginning is short, but for the wait; the run asks afterwards. Of the handler's own: it
    // stays when this fails.
    const auto interrupted = std::make_shared<std::atomic<bool>>(false);
    interrupts_.SetHandler([interrupted] { *interrupted = true; });
    HolderWatch watch;
    absl::Status begun = BeginOnce(watch);
    if (absl::IsAborted(begun)) {
      Log(LogLevel::kInfo, absl::StrCat("waiting: ", begun.message()));
      progress_.Enter("waiting for the output");
    }
    while (absl::IsAborted(begun)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(flags_.beat_ms / 20 + 1));
      if (*interrupted) return absl::CancelledError("interrupted");
      begun = BeginOnce(watch);
    }
    return begun;
  }

  bool complete() const { return complete_; }

  // The report's summary. On failure the caller calls EndFailed.
  absl::StatusOr<std::string> RunAndPublish(MergeExecutor& executor, uint64_t tensor_memory) {
    RunFacts facts;
    facts.program = ProgramName();
    facts.simd = std::string(ActiveSimd());
    facts.threads = flags_.threads;
    facts.started = SystemClock().WallNow();
    absl::StatusOr<std::vector<UnitResult>> results = DoUnits(executor, tensor_memory);
    for (int again = 0;; ++again) {
      MERGANSER_ASSIGN_OR_RETURN(const bool gone, BegunAgain(executor, results.status(), again));
      if (!gone) break;
      results = DoUnits(executor, tensor_memory);
    }
    MERGANSER_RETURN_IF_ERROR(results.status());
    interrupts_.SetHandler(
        [] { Log(LogLevel::kInfo, "publishing the merged model; a second signal stops at once"); });
    progress_.Enter("publishing");
    facts.finished = SystemClock().WallNow();
    facts.storage = stores_.Counts();
    absl::StatusOr<std::string> summary = PublishMerge(*output_, prepared_, *results, facts);
    if (!summary.ok()) return summary;
    for (const std::string& warning : output_->warnings()) {
      Log(LogLevel::kWarn, warning);
    }
    return summary;
  }

  // `status` of RunAndPublish: an output of which nothing is there any more went with its storage,
  // and comes back with it.
  absl::Status Regarding(const absl::Status& status) {
    if (!absl::IsNotFound(status)) return status;
    const absl::StatusOr<std::optional<std::string>> any = FindAnyObject(*store_);
    if (!any.ok() || any->has_value()) return status;
    return absl::UnavailableError(
        absl::StrCat(std::string(status.message()), "; nothing is left of ", output_uri_,
                     ", which this run had begun: mount its storage, and repeat with --resume"));
  }

  // Keeps what a later run can go on with, or removes everything. Again where it finds no
  // memory for that: what the run held is given back by now.
  void EndFailed(const absl::Status& status, bool still_written) {
    const bool mends = IsRetryable(status) || absl::IsCancelled(status);
    if ((mends && recorded_) || still_written) {
      Log(LogLevel::kInfo,
          "what was done is kept: repeat with --resume to go on, or with --overwrite to begin "
          "again");
      return;
    }
    if (output_ == nullptr) return;
    constexpr int kTries = 3;
    absl::Status abandoned;
    for (int i = 0; i < kTries; ++i) {
      abandoned = Guarded([&] { return output_->Abandon(); });
      if (!absl::IsResourceExhausted(abandoned)) break;
    }
    if (!abandoned.ok()) {
      Log(LogLevel::kWarn, absl::StrCat("left behind in ", output_uri_, ": ", abandoned.message()));
    }
  }

 private:
  // Does the units that are left, and puts them on record; what was interrupted has failed.
  absl::StatusOr<std::vector<UnitResult>> DoUnits(MergeExecutor& executor, uint64_t tensor_memory) {
    const Plan& plan = prepared_.plan;
    MERGANSER_ASSIGN_OR_RETURN(tensor_memory, BesideHistograms(tensor_memory, plan, done_));
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<const JobContext> job,
                               MakeJobContext(output_uri_, output_->job_uid(), plan, output_uri_,
                                              output_->writes(), stores_));
    ProgressKeeper keeper(job, *std::move(log_),
                          {.period = std::chrono::milliseconds(flags_.record_ms),
                           .told_when_durable = executor.TellsWhenDurable(),
                           .earlier = !done_.empty(),
                           .metrics = stores_.metrics()},
                          [&executor](absl::Status status) { executor.Fail(std::move(status)); });
    // However this ends.
    const Recording recording{keeper, recorded_};
    interrupts_.SetHandler([&executor] { executor.Fail(absl::CancelledError("interrupted")); });
    const TotalWork total = AllRounds(plan);
    absl::StatusOr<std::vector<UnitResult>> results;
    {
      const MergeMetrics metrics(stores_.metrics(), total, [&] { return executor.progress(); });
      progress_.Run(total, plan.rounds);
      results =
          executor.Execute({job, output_uri_, std::move(done_), tensor_memory, stores_.metrics(),
                            [&keeper](const UnitResult& result) { keeper.Add(result); }});
    }
    recorded_ = keeper.Finish(/*keep=*/true);
    if (results.ok()) {
      MERGANSER_RETURN_IF_ERROR(keeper.status());
      keeper.AddFlushTimes(*results);
    }
    return results;
  }

  // After DoUnits, which ended with `status`: whether planned writes were gone and are begun again,
  // and units have to be done once more.
  absl::StatusOr<bool> BegunAgain(MergeExecutor& executor, const absl::Status& status,
                                  int times_before) {
    // A write that is gone is not found by the unit that writes to it.
    if (!status.ok() && (!absl::IsNotFound(status) || executor.StillWrites())) return false;
    const absl::StatusOr<bool> gone = output_->WritesAreGone();
    if (!gone.ok()) return status.ok() ? gone.status() : status;
    if (!*gone) return false;
    if (times_before == kMostRedone) {
      return absl::AbortedError(absl::StrCat(
          output_uri_, ": uploads that were under way are gone, for the ", kMostRedone + 1,
          "th time: a rule of the bucket ends them too early, or another process does; see to "
          "that, and repeat with --resume"));
    }
    Log(LogLevel::kWarn,
        absl::StrCat("uploads to ", output_uri_,
                     " that were under way are gone: they are begun again, and what was in them "
                     "is done once more"));
    MERGANSER_ASSIGN_OR_RETURN(output_, JobOutput::ResumeOwn(std::move(output_), done_));
    MERGANSER_RETURN_IF_ERROR(BeginLog());
    return true;
  }

  absl::Status BeginOnce(HolderWatch& watch) {
    JobOutputOptions options;
    options.job_uid = NewJobUid();
    options.overwrite = flags_.overwrite;
    options.beat_period = std::chrono::milliseconds(flags_.beat_ms);
    MERGANSER_ASSIGN_OR_RETURN(
        OpenedOutput opened,
        JobOutput::Open(store_, output_uri_, prepared_.plan, options, flags_.resume, &watch));
    complete_ = opened.state == OpenedOutput::State::kComplete;
    if (complete_) return CompareSmallFiles(*store_, prepared_.plan, prepared_.donors());
    output_ = std::move(opened.output);
    done_ = std::move(opened.done);
    if (opened.state == OpenedOutput::State::kResumed) {
      Log(LogLevel::kInfo, absl::StrCat("going on: ", done_.size(), " of ",
                                        AllRounds(prepared_.plan).units, " units are done"));
      recorded_ = !done_.empty();
    }
    return BeginLog();
  }

  absl::Status BeginLog() {
    log_.emplace(store_, output_->job_uid(), output_->epoch(), prepared_.plan);
    return log_->Begin(output_->earlier());
  }

  const MergeFlags& flags_;
  const PreparedMerge& prepared_;
  const Stores stores_;
  const std::string output_uri_;
  const std::shared_ptr<ObjectStore> store_;
  MergeProgress& progress_;
  InterruptWatcher& interrupts_;
  std::optional<ProgressLog> log_;
  std::unique_ptr<JobOutput> output_;
  std::vector<UnitResult> done_;  // of a run before this one
  bool complete_ = false;
  bool recorded_ = false;  // something is on record that a later run can use
};

}  // namespace

int MergeWith(MergeExecutor& executor, const MergeFlags& flags, InterruptWatcher& interrupts,
              const StageRun* stage) {
  const absl::StatusOr<std::string> text =
      stage != nullptr ? absl::StatusOr<std::string>(stage->text) : ReadRecipeFile(flags.recipe);
  if (!text.ok()) return Fail(text.status(), Phase::kPlanning);
  const std::vector<std::string> directories = RecipeDirectories(flags.recipe);
  absl::StatusOr<Uri> uri = ParseUri(flags.output);
  if (uri.ok()) uri = Absolute(*uri, directories.front());
  if (!uri.ok()) return Fail(uri.status(), Phase::kPlanning);
  const std::string output_uri = uri->ToString();
  const Stores stores(flags.storage);
  const MetricsFile metrics(flags.metrics.file, stores.metrics(), flags.metrics.labels,
                            flags.metrics.period);
  absl::StatusOr<std::shared_ptr<ObjectStore>> store = stores.Open(output_uri);
  if (!store.ok()) return Fail(store.status(), Phase::kPlanning);
  const StoreTraits traits = (*store)->traits();
  if (const absl::Status able = CheckOutputTraits(traits); !able.ok()) {
    return Fail(Annotate(able, OneLine(output_uri)), Phase::kPlanning);
  }
  MergeProgress progress;
  std::optional<ProgressPrinter> printer;
  printer.emplace([&] { return progress.Sample(executor.progress()); });
  absl::StatusOr<PreparedMerge> prepared =
      PrepareMerge(*text, flags.recipe, directories, stores, traits,
                   stage != nullptr ? &stage->context : nullptr);
  if (!prepared.ok()) return Fail(prepared.status(), Phase::kPlanning);
  if (const absl::Status apart = CheckPlacesApart(stores, output_uri, prepared->plan.models);
      !apart.ok()) {
    return Fail(apart, Phase::kPlanning);
  }
  const absl::StatusOr<uint64_t> tensor_memory = TensorMemory(flags.memory, prepared->plan);
  if (!tensor_memory.ok()) return Fail(tensor_memory.status(), Phase::kPlanning);

  for (std::string& warning : LookAtModels(prepared->plan, stores)) {
    prepared->plan.warnings.push_back(std::move(warning));
  }
  TellWarnings(prepared->plan);
  if (flags.storage.buckets.exclusive_output) {
    Log(LogLevel::kInfo, absl::StrCat("--exclusive-output: nobody else may write to ", output_uri,
                                      " until this merge has ended"));
  }

  MergeRun run(flags, *prepared, stores, output_uri, *store, progress, interrupts);
  const HandlerScope handlers(interrupts);
  if (const absl::Status begun = Guarded([&] { return run.Begin(); }); !begun.ok()) {
    run.EndFailed(begun, /*still_written=*/false);
    return Fail(begun, BeginPhase(begun));
  }
  if (run.complete()) {
    printer.reset();
    std::printf("%s holds this merge already\n", OneLine(output_uri).c_str());
    return flags.verify ? VerifyMerge(stores, output_uri, flags.threads) : kDone;
  }
  // The claim must not outlive an exception.
  const absl::StatusOr<std::string> summary =
      Guarded([&] { return run.RunAndPublish(executor, *tensor_memory); });
  if (!summary.ok()) {
    const absl::Status why = Guarded([&] { return run.Regarding(summary.status()); });
    run.EndFailed(why, executor.StillWrites());
    return Fail(why, Phase::kRunning);
  }
  printer.reset();
  std::printf("%s", summary->c_str());
  std::printf("merged into %s\n", OneLine(output_uri).c_str());
  return flags.verify ? VerifyMerge(stores, output_uri, flags.threads) : kDone;
}

}  // namespace merganser::cli
