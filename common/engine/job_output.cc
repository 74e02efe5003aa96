#include "common/engine/job_output.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "common/engine/overlap.h"
#include "common/engine/progress_log.h"
#include "common/engine/working_folder.h"
#include "common/format/hf_index.h"
#include "common/plan/pieces.h"
#include "common/storage/list.h"

namespace merganser {
namespace {

// kFailedPrecondition where the output holds an object that is not ours: the claim and `beat` are.
absl::Status RefuseObjects(ObjectStore& store, std::string_view beat) {
  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> other, FindAnyObject(store, {kWorkPrefix}));
  if (!other.has_value()) {
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> working,
                               ListAll(store, kWorkPrefix));
    for (const ListedObject& object : working) {
      if (object.key == kClaimKey || object.key == beat) continue;
      other = object.key;
      break;
    }
  }
  if (!other.has_value()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(OneLine(store.Describe(*other)),
                   ": the output is not empty: it holds this; choose an empty output or repeat "
                   "with --overwrite"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobOutput>> JobOutput::Begin(std::shared_ptr<ObjectStore> store,
                                                            std::string_view output_uri,
                                                            const Plan& plan,
                                                            const JobOutputOptions& options,
                                                            HolderWatch* watch) {
  if (!IsJobUid(options.job_uid)) {
    return absl::InvalidArgumentError(
        absl::StrCat("job UID '", OneLine(options.job_uid),
                     "': expected 1 to 64 lower-case letters, digits and '-'"));
  }
  if (plan.shards.empty()) return absl::InternalError("the plan has no output shard");
  MERGANSER_RETURN_IF_ERROR(CheckApart(output_uri, plan.models));

  if (!options.overwrite) {
    // A claim says more than the objects beside it: TakeClaim reports it.
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> claim, store->Stat(kClaimKey));
    if (!claim.has_value()) MERGANSER_RETURN_IF_ERROR(RefuseObjects(*store, ""));
  }

  std::optional<std::string> in_place_of;
  if (options.overwrite) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadClaimText(*store));
    in_place_of = text.value_or("");
    // Something else in the claim's place is nobody's that runs.
    const absl::StatusOr<ClaimRecord> claim = ParseClaim(*in_place_of);
    if (claim.ok()) MERGANSER_RETURN_IF_ERROR(MayTakeOver(*store, *claim, watch));
  }
  std::unique_ptr<JobOutput> output(new JobOutput);
  output->store_ = std::move(store);
  output->uri_ = output_uri;
  output->plan_ = &plan;
  output->options_ = options;
  absl::Status status = Guarded([&] {
    MERGANSER_RETURN_IF_ERROR(output->Claim(in_place_of));
    return output->BeginWrites();
  });
  if (!status.ok()) {
    Guarded([&] { return output->Abandon(); }).IgnoreError();
    return status;
  }
  return output;
}

absl::StatusOr<OpenedOutput> JobOutput::Open(const std::shared_ptr<ObjectStore>& store,
                                             std::string_view output_uri, const Plan& plan,
                                             const JobOutputOptions& options, bool resume,
                                             HolderWatch* watch) {
  OpenedOutput opened;
  if (resume) {
    MERGANSER_ASSIGN_OR_RETURN(const bool complete, EndedBefore(store, plan, watch));
    opened.state = complete ? OpenedOutput::State::kComplete : OpenedOutput::State::kResumed;
    if (complete) return opened;
    MERGANSER_ASSIGN_OR_RETURN(
        opened.output, Resume(store, output_uri, plan, opened.done, watch, options.beat_period));
    if (opened.output != nullptr) return opened;
    opened = {};
  }
  MERGANSER_ASSIGN_OR_RETURN(opened.output, Begin(store, output_uri, plan, options, watch));
  return opened;
}

absl::StatusOr<std::unique_ptr<JobOutput>> JobOutput::Resume(
    std::shared_ptr<ObjectStore> store, std::string_view output_uri, const Plan& plan,
    std::vector<UnitResult>& done, HolderWatch* watch, Duration beat_period) {
  done.clear();
  if (plan.shards.empty()) return absl::InternalError("the plan has no output shard");
  MERGANSER_RETURN_IF_ERROR(CheckApart(output_uri, plan.models));
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ClaimRecord> claim, ReadClaim(*store));
  if (!claim.has_value()) return nullptr;
  MERGANSER_RETURN_IF_ERROR(MayTakeOver(*store, *claim, watch));
  if (!IsJobUid(claim->job)) {
    return absl::FailedPreconditionError(
        absl::StrCat(store->Describe(kClaimKey),
                     ": names no job that could be gone on with; begin again with "
                     "--overwrite"));
  }
  return ResumeAs(std::move(store), output_uri, plan, *claim, done, beat_period);
}

absl::StatusOr<std::unique_ptr<JobOutput>> JobOutput::ResumeOwn(std::unique_ptr<JobOutput> own,
                                                                std::vector<UnitResult>& done) {
  done.clear();
  own->beat_.reset();
  MERGANSER_ASSIGN_OR_RETURN(const ClaimRecord claim, ParseClaim(own->claim_));
  return ResumeAs(own->store_, own->uri_, *own->plan_, claim, done, own->options_.beat_period);
}

absl::StatusOr<std::unique_ptr<JobOutput>> JobOutput::ResumeAs(
    std::shared_ptr<ObjectStore> store, std::string_view output_uri, const Plan& plan,
    const ClaimRecord& claim, std::vector<UnitResult>& done, Duration beat_period) {
  MERGANSER_ASSIGN_OR_RETURN(const BegunWrites begun, ReadBegunWrites(*store, claim.job));
  absl::StatusOr<RecordedProgress> recorded =
      ReadProgress(*store, claim.job, plan, /*since=*/begun.epoch);
  if (!recorded.ok() && !absl::IsNotFound(recorded.status())) return recorded.status();
  MERGANSER_RETURN_IF_ERROR(RefuseCoordinatorsJob(*store, claim, recorded.status()));
  ProgressPosition earlier;
  if (recorded.ok()) {
    done = std::move(recorded->results);
    earlier = recorded->end;
  }
  JobOutputOptions options;
  options.job_uid = claim.job;
  options.epoch = claim.epoch + 1;
  options.beat_period = beat_period;
  // Beginning again removes the log with the rest of the working folder.
  MERGANSER_ASSIGN_OR_RETURN(
      std::unique_ptr<JobOutput> output,
      TakeOver(std::move(store), output_uri, plan, options, claim, done, [&earlier] {
        earlier = {};
        return absl::OkStatus();
      }));
  output->earlier_ = earlier;
  return output;
}

absl::StatusOr<std::unique_ptr<JobOutput>> JobOutput::TakeOver(
    std::shared_ptr<ObjectStore> store, std::string_view output_uri, const Plan& plan,
    const JobOutputOptions& options, const ClaimRecord& claim, std::vector<UnitResult>& done,
    const std::function<absl::Status()>& forget) {
  std::unique_ptr<JobOutput> output(new JobOutput);
  output->store_ = std::move(store);
  output->uri_ = output_uri;
  output->plan_ = &plan;
  output->options_ = options;
  // Whoever claimed this output found it empty or was told to overwrite it.
  output->options_.overwrite = true;
  MERGANSER_RETURN_IF_ERROR(output->Claim(claim.text));
  MERGANSER_ASSIGN_OR_RETURN(const bool adopted, output->AdoptWrites(done));
  if (adopted) {
    // What the process before this one may yet make visible of its own; of the shards each makes
    // the same.
    MERGANSER_RETURN_IF_ERROR(AbortEarlierFiles(*output->store_, options.job_uid, options.epoch));
    return output;
  }
  MERGANSER_RETURN_IF_ERROR(forget());
  done.clear();
  // On failure the claim stays: who goes on again finds it, and what was begun.
  MERGANSER_RETURN_IF_ERROR(output->BeginWrites());
  return output;
}

absl::Status JobOutput::Claim(const std::optional<std::string>& in_place_of) {
  ClaimRecord claim = MakeClaim(options_.job_uid, options_.epoch, SystemClock());
  claim.beat_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.beat_period).count();
  MERGANSER_ASSIGN_OR_RETURN(claim_, TakeClaim(*store_, claim, in_place_of));
  if (!store_->traits().knows_writers) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store_->Stat(kClaimKey));
    if (info.has_value()) claimed_ = info->modified;
  }
  MERGANSER_ASSIGN_OR_RETURN(beat_, Beat::Start(store_, BeatKey(options_.job_uid, options_.epoch),
                                                claim_, options_.beat_period));
  return absl::OkStatus();
}

absl::StatusOr<JobOutput::Holder> JobOutput::LookForHolder() {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadClaimText(*store_));
  if (!text.has_value()) return Holder::kOther;
  if (*text == claim_) return Holder::kUs;
  const absl::StatusOr<ClaimRecord> claim = ParseClaim(*text);
  return claim.ok() && claim->job == options_.job_uid ? Holder::kSuccessor : Holder::kOther;
}

absl::Status JobOutput::BeginWrites() {
  if (options_.overwrite) {
    MERGANSER_RETURN_IF_ERROR(
        ClearAllJobs(*store_, claim_, BeatKey(options_.job_uid, options_.epoch)));
  } else {
    // Again, now under the claim: another job may have published in between.
    MERGANSER_RETURN_IF_ERROR(RefuseObjects(*store_, BeatKey(options_.job_uid, options_.epoch)));
  }
  // All are put down before the first exists, so that whoever takes over can find
  // them; and once more when their uploads are known. Two records, however many
  // shards there are: each names all of them.
  std::vector<std::vector<uint64_t>> ends = ShardPieceEnds(*plan_);
  std::vector<PlannedWrite> intended;
  intended.reserve(plan_->shards.size());
  for (const PlannedShard& shard : plan_->shards) intended.push_back({shard.key, shard.size});
  MERGANSER_RETURN_IF_ERROR(
      RecordWrites(*store_, options_.job_uid, options_.epoch, WritesRecord::kIntended, intended));
  for (size_t i = 0; i < intended.size(); ++i) {
    // Without its upload while it may or may not exist: Abandon sees to it too.
    writes_.push_back(intended[i]);
    MERGANSER_ASSIGN_OR_RETURN(writes_.back(),
                               BeginWrite({intended[i].key, intended[i].size, std::move(ends[i])}));
  }
  commits_.assign(writes_.size(), Commit::kNo);
  return RecordWrites(*store_, options_.job_uid, options_.epoch, WritesRecord::kBegun, writes_);
}

absl::StatusOr<PlannedWrite> JobOutput::BeginWrite(const WriteLayout& layout) {
  constexpr int kMostTries = 8;
  const std::string writer = WriterOf(options_.job_uid, options_.epoch);
  for (int tries = 1;; ++tries) {
    absl::StatusOr<PlannedWrite> write = store_->BeginWrite(layout, writer);
    if (!absl::IsUnavailable(write.status()) || store_->traits().knows_writers ||
        tries == kMostTries) {
      return write;
    }
    // What may have been begun under this claim goes first; under a successor's it is his.
    MERGANSER_RETURN_IF_ERROR(CheckClaim(*store_, claim_));
    const absl::Status aborted = store_->AbortWritesOf(layout.key, writer, claimed_);
    if (!aborted.ok()) return write;
  }
}

// All that may go is looked up before the claim is: what comes to its place later is not ours.
absl::Status JobOutput::ClearUp(bool withdraw) {
  beat_.reset();  // before its object goes
  std::vector<ListedObject> visible;
  if (withdraw) {
    // Last made visible, first removed: the index or the only shard before what it needs.
    for (auto key = visible_.rbegin(); key != visible_.rend(); ++key) {
      MERGANSER_ASSIGN_OR_RETURN(std::optional<ObjectInfo> info, store_->Stat(*key));
      if (info.has_value()) visible.push_back({*key, *std::move(info)});
    }
  }
  MERGANSER_ASSIGN_OR_RETURN(JobFolder folder, LookUpJob(*store_, options_.job_uid));
  MERGANSER_ASSIGN_OR_RETURN(const Holder holder, LookForHolder());
  // Of its own this process knows more than the records say.
  std::erase_if(folder.writes,
                [&](const JobFolder::Write& left) { return left.epoch == options_.epoch; });
  if (holder == Holder::kSuccessor) {
    // A process that goes on with this job has its working folder and its shards.
    folder.objects.clear();
    folder.writes.clear();
  }
  const std::string writer = WriterOf(options_.job_uid, options_.epoch);
  for (const auto& [key, file] : staged_) {
    folder.writes.push_back({file.write, writer, options_.epoch, /*shard=*/false, claimed_});
  }
  for (const PlannedWrite& write : writes_) {
    if (holder == Holder::kSuccessor) break;
    folder.writes.push_back({write, writer, options_.epoch, /*shard=*/true, claimed_});
  }
  absl::Status first;
  for (const ListedObject& object : visible) {
    if (holder != Holder::kUs) break;
    const absl::Status removed = store_->Delete(object.key, object.info.identity);
    if (first.ok()) first = removed;
  }
  if (withdraw && first.ok()) visible_.clear();
  const absl::Status cleared = ClearJob(*store_, folder);
  if (first.ok()) first = cleared;
  // Last: whoever finds the folder without a claim may clear it.
  const absl::Status released =
      holder == Holder::kUs ? ReleaseClaim(*store_, claim_) : absl::OkStatus();
  if (first.ok()) first = released;
  if (first.ok()) claim_.clear();
  return first;
}

absl::Status JobOutput::Abandon() {
  if (claim_.empty()) return absl::OkStatus();
  abandoned_ = true;
  return ClearUp(/*withdraw=*/!published_);
}

}  // namespace merganser
