// The output of one job from claim to publication: what makes sure that a
// reader never sees half a model, and that two jobs never write one output.
//
//   1. Claim: `.merganser/claim` is created exclusively and names the job; from now
//      on its beat says that it is held.
//   2. Begin: every shard is begun as a planned write (hidden, full size).
//   3. Units write their ranges (not here).
//   4. Publish: with --overwrite the old index and weights go first; shards are
//      committed; auxiliary files, model card, recipe and report are put; the
//      index, or without one model.safetensors, becomes visible last; the working
//      folder and the claim are removed.
//   or Abandon: partial files and the claim are removed; nothing looks like a model.
#ifndef MERGANSER_COMMON_ENGINE_JOB_OUTPUT_H_
#define MERGANSER_COMMON_ENGINE_JOB_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/engine/beat.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "common/engine/output_files.h"
#include "common/engine/progress_log.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"

namespace merganser {

struct JobOutputOptions {
  std::string job_uid;  // lower-case letters, digits and '-'
  bool overwrite = false;
  int64_t epoch = 1;
  Duration beat_period = BeatTimes().period;
};

class JobOutput;

// An output that was taken up.
struct OpenedOutput {
  enum class State {
    kFresh,     // begun, and nothing is done
    kResumed,   // an earlier run's: `done` is on record
    kComplete,  // it holds the merge already, whole and visible; there is nothing to do
  };
  State state = State::kFresh;
  std::unique_ptr<JobOutput> output;  // none where it is complete
  std::vector<UnitResult> done;
};

// Where a claim may have to be taken over, `watch` says of its holder what is known; without one
// it is looked at once. What the watch says, kAborted among it, is returned as it is.
//
// Not thread-safe.
class JobOutput {
 public:
  // Takes the output up, for runs that keep their record beside it. With `resume` it goes on with
  // what a run that was killed or interrupted left of this plan: takes its claim over, under the
  // next epoch
  // (`options.job_uid` and `epoch` do not count then), and its planned writes as they are; what a
  // killed run left beside a complete output is removed. Where there is nothing to go on with, and
  // without `resume`, it is Begin.
  //
  // kFailedPrecondition, beside what Begin says, when the job was begun under another plan, or its
  // process runs on this machine. A job that was killed before anything was on record begins again.
  //
  // Where pieces are whole, a shard whose planned write is gone is begun again, that shard
  // alone: what was written to it leaves `done`. Else all is.
  static absl::StatusOr<OpenedOutput> Open(const std::shared_ptr<ObjectStore>& store,
                                           std::string_view output_uri, const Plan& plan,
                                           const JobOutputOptions& options, bool resume,
                                           HolderWatch* watch = nullptr);

  // Steps 1 and 2. `store` is rooted at the output. kFailedPrecondition when
  // the output holds anything already (other than an empty folder) and
  // overwrite is off, when another job's claim is there (the message names it
  // and says how to take over), or when the output is one of the inputs.
  // `plan` must outlive this object. On failure nothing stays behind.
  static absl::StatusOr<std::unique_ptr<JobOutput>> Begin(std::shared_ptr<ObjectStore> store,
                                                          std::string_view output_uri,
                                                          const Plan& plan,
                                                          const JobOutputOptions& options,
                                                          HolderWatch* watch = nullptr);

  // Goes on as Resume does, for a job that is known (`options`, of which `overwrite` does
  // not count) and whose results are on record elsewhere: `done`. Where the planned writes
  // cannot be used, `forget` is called, then all is begun again and `done` is empty;
  // `forget` must have the record dropped for good when it returns, as the bytes that
  // it tells of go next. nullptr when there is no claim.
  //
  // kFailedPrecondition when another job holds the claim, or a process that runs.
  static absl::StatusOr<std::unique_ptr<JobOutput>> ResumeJob(
      std::shared_ptr<ObjectStore> store, std::string_view output_uri, const Plan& plan,
      const JobOutputOptions& options, std::vector<UnitResult>& done,
      const std::function<absl::Status()>& forget, HolderWatch* watch = nullptr);

  // Goes on with this process' own job, whose units have ended: `own`, which still holds the claim
  // and goes. For a run whose writes are gone (WritesAreGone).
  static absl::StatusOr<std::unique_ptr<JobOutput>> ResumeOwn(std::unique_ptr<JobOutput> own,
                                                              std::vector<UnitResult>& done);

  const Plan& plan() const { return *plan_; }
  const std::string& job_uid() const { return options_.job_uid; }
  int64_t epoch() const { return options_.epoch; }  // of the claim
  // After Resume: where what is on record ended when it was read.
  const ProgressPosition& earlier() const { return earlier_; }

  // One a shard, in shard order: to be handed to whoever writes units.
  const std::vector<PlannedWrite>& writes() const { return writes_; }

  // Whether planned writes are gone that nobody committed: a rule of the bucket ended them, or a
  // person did. False where ranges are free: what such a store lost is not found piece by piece.
  absl::StatusOr<bool> WritesAreGone();

  // Begins those again, under the same claim; `done` loses what was written to them, and what is
  // not there as it was written (LostUnits). False where none are gone; then nothing changes. No
  // unit may be written meanwhile.
  absl::StatusOr<bool> BeginGoneWrites(std::vector<UnitResult>& done);

  // Before step 4: units that have to be done again (LostUnits), of `results`.
  absl::StatusOr<std::vector<uint32_t>> LostUnits(const std::vector<UnitResult>& results);

  // Whether `results` hold every unit of the plan once, in unit order: kInternal if not.
  absl::Status CheckResults(const std::vector<UnitResult>& results) const;

  // Step 4, of `results` as CheckResults has them; `files` are what PublishModel (common/publish)
  // makes of recipe, models and report. A failure leaves nothing that looks like a model
  // (or all of it, where only the answer got lost); one that IsRetryable may be tried again,
  // after others call Abandon. kFailedPrecondition when another job took the claim
  // over meanwhile. kInternal after it succeeded or after Abandon.
  absl::Status Publish(const std::vector<UnitResult>& results, const OutputFiles& files);

  // Removes partial files, what a failed Publish made visible, working folder and
  // claim. Does all it can once what is there was looked up; the first error is returned, and
  // it may be called again. Harmless after Publish succeeded: only what it could not clear up is
  // tried again. Where another job, or process of this job, took the claim over, its files are
  // left alone.
  absl::Status Abandon();

  // Abandon for a job whose process is gone, told by its record of planned writes;
  // auxiliary files that its publication had put stay. Does nothing where the claim is
  // not the job's, or its process runs on this machine.
  static absl::Status Discard(ObjectStore& store, const std::string& job_uid,
                              HolderWatch* watch = nullptr);

  // The report of the output, if that is `plan`'s merge, whole and visible, and the run's that
  // calls itself `job` (RunFacts::job): an older output of the same plan is not. Then what
  // `job_uid` may have left beside it is removed.
  static absl::StatusOr<std::optional<std::string>> FindPublished(ObjectStore& store,
                                                                  const Plan& plan,
                                                                  std::string_view job,
                                                                  const std::string& job_uid,
                                                                  HolderWatch* watch = nullptr);

  // What Publish could not clear up after the model was visible, one line each:
  // the merge is complete all the same.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  enum class Commit { kNo, kTried, kDone };       // kTried: it failed, and may have come about
  enum class Holder { kUs, kSuccessor, kOther };  // kSuccessor: of this job; kOther: or nobody
  struct StagedFile {
    PlannedWrite write;  // without an upload while it may or may not exist
    std::vector<WriteReceipt> receipts;
  };

  JobOutput() = default;

  // As Open has it: nullptr when there is no claim.
  static absl::StatusOr<std::unique_ptr<JobOutput>> Resume(
      std::shared_ptr<ObjectStore> store, std::string_view output_uri, const Plan& plan,
      std::vector<UnitResult>& done, HolderWatch* watch, Duration beat_period);
  // Whether the output holds the merge of `plan` already, complete: the report names
  // the plan, and what becomes visible last is visible. Then what a killed run left
  // beside it is removed. kFailedPrecondition when the claim's process still runs,
  // or is of a merge with another plan.
  static absl::StatusOr<bool> EndedBefore(const std::shared_ptr<ObjectStore>& store,
                                          const Plan& plan, HolderWatch* watch);

  // Resume of what `claim` holds, which may be taken over.
  static absl::StatusOr<std::unique_ptr<JobOutput>> ResumeAs(
      std::shared_ptr<ObjectStore> store, std::string_view output_uri, const Plan& plan,
      const ClaimRecord& claim, std::vector<UnitResult>& done, Duration beat_period);
  // Takes the claim over for `options.job_uid`, in the place of `claim`, and the writes. `forget`
  // as ResumeJob.
  static absl::StatusOr<std::unique_ptr<JobOutput>> TakeOver(
      std::shared_ptr<ObjectStore> store, std::string_view output_uri, const Plan& plan,
      const JobOutputOptions& options, const ClaimRecord& claim, std::vector<UnitResult>& done,
      const std::function<absl::Status()>& forget);
  // Takes the claim as TakeClaim does, and begins its beat.
  absl::Status Claim(const std::optional<std::string>& in_place_of);
  // Whose the claim is now.
  absl::StatusOr<Holder> LookForHolder();
  absl::Status BeginWrites();
  // Begins one. Where the answer of a store that does not know writers got lost, nobody could
  // complete or abort what it may have begun: that is aborted, and it is begun once more.
  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout);
  // Takes over what is there of a job's planned writes: false when they cannot be
  // used, and everything is to be done again. Of `done` those that are lost go.
  absl::StatusOr<bool> AdoptWrites(std::vector<UnitResult>& done);
  // Shards, ascending, whose writes are neither under way nor committed. Of writes that were taken
  // over, notes those that the process before this one committed since, as it was no more than
  // slow: it had every unit of them.
  absl::StatusOr<std::vector<size_t>> GoneWrites();
  // Begins these shards' writes again and takes from `done` what was written to them, and what
  // LostUnits names.
  absl::Status BeginAgain(const std::vector<size_t>& shards, std::vector<UnitResult>& done);
  absl::Status DropLost(std::vector<UnitResult>& done);
  // Whether the output is the merge of `plan`, whole and visible.
  static absl::StatusOr<bool> HoldsMergeOf(ObjectStore& store, const Plan& plan);
  // Before writes that were taken over are committed: kNotFound where some are gone.
  absl::Status NoteCommitted();
  // Whether shards that are in their places may be those of a publication that was killed
  // between them: before them goes the older output's index, after them comes the new one.
  static absl::StatusOr<bool> PartlyPublished(ObjectStore& store, size_t shards);
  absl::Status PublishOnce(const std::vector<UnitResult>& results, const OutputFiles& files);
  absl::Status RemoveOld();
  // Writes them, and the index (of a model of several shards), where nobody sees them yet.
  absl::Status StageFiles(const OutputFiles& files, const std::string& index);
  absl::Status StageFile(const std::string& key, std::string_view bytes);
  absl::Status CommitFile(const std::string& key);
  // `results`: of the units of this shard.
  absl::Status CommitShard(size_t shard, std::span<const UnitResult* const> results);
  // With `withdraw` also what Publish may have made visible.
  absl::Status ClearUp(bool withdraw);

  std::shared_ptr<ObjectStore> store_;
  std::string uri_;
  const Plan* plan_ = nullptr;
  JobOutputOptions options_;
  std::vector<PlannedWrite> writes_;
  std::vector<Commit> commits_;      // of the writes, one each
  bool adopted_ = false;             // the writes, from a process before this one
  uint32_t begun_again_ = 0;         // how often some were, under this epoch
  std::string claim_;                // its text; empty when not held
  std::optional<WallTime> claimed_;  // by the store's clock, where it has to be known
  ProgressPosition earlier_;
  std::map<std::string, StagedFile> staged_;  // by key
  std::vector<ListedObject> old_;             // the output before Publish first touched it
  std::vector<std::string> visible_;          // keys that Publish may have made visible, in order
  std::unique_ptr<Beat> beat_;                // while the claim is held
  std::vector<std::string> warnings_;
  bool published_ = false;
  bool abandoned_ = false;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_JOB_OUTPUT_H_
