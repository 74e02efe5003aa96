#include "common/engine/job_output.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/auxiliary_files.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "common/engine/model_card.h"
#include "common/engine/overlap.h"
#include "common/engine/progress_log.h"
#include "common/engine/report.h"
#include "common/engine/rounds.h"
#include "common/engine/small_files.h"
#include "common/format/hf_index.h"
#include "common/format/safetensors.h"

namespace merganser {
namespace {

constexpr std::string_view kRecipeKey = "merge_recipe.yaml";
constexpr std::string_view kCardKey = "README.md";
constexpr std::string_view kConfigKey = "config.json";

bool TopLevel(std::string_view key) { return key.find('/') == std::string_view::npos; }

// kFailedPrecondition for the first object that is not ours: `beat` is.
absl::Status RefuseObjects(const ObjectStore& store, const std::vector<ListedObject>& listed,
                           std::string_view beat) {
  const ListedObject* first = nullptr;
  size_t count = 0;
  for (const ListedObject& object : listed) {
    if (object.key == kClaimKey || object.key == beat) continue;
    if (!first) first = &object;
    ++count;
  }
  if (!first) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      OneLine(store.Describe(first->key)), ": the output is not empty: it holds ", count,
      count == 1 ? " object" : " objects",
      ", of which this is the first; choose an empty output or repeat with --overwrite"));
}

absl::StatusOr<HfIndex> MakeIndex(const Plan& plan) {
  HfIndex index;
  for (const PlannedTensor& tensor : plan.tensors) {
    const std::optional<uint64_t> bytes = TensorBytes(tensor.dtype, tensor.spec.shape);
    if (!bytes || tensor.shard >= plan.shards.size()) {
      return absl::InternalError(
          absl::StrCat("tensor '", OneLine(tensor.spec.name), "' has no place in the plan"));
    }
    index.total_size += *bytes;
    index.weight_map.emplace_back(tensor.spec.name, plan.shards[tensor.shard].key);
  }
  std::sort(index.weight_map.begin(), index.weight_map.end());
  return index;
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
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> listed, store->List(""));
    // A claim says more than the objects beside it: TakeClaim reports it.
    const bool claimed = std::any_of(listed.begin(), listed.end(), [](const ListedObject& object) {
      return object.key == kClaimKey;
    });
    if (!claimed) MERGANSER_RETURN_IF_ERROR(RefuseObjects(*store, listed, ""));
  }

  if (options.overwrite) {
    // Something else in the claim's place is nobody's that runs.
    const absl::StatusOr<std::optional<ClaimRecord>> claim = ReadClaim(*store);
    if (!claim.ok() && !absl::IsDataLoss(claim.status())) return claim.status();
    if (claim.ok() && claim->has_value()) {
      MERGANSER_RETURN_IF_ERROR(MayTakeOver(*store, **claim, watch));
    }
  }
  std::unique_ptr<JobOutput> output(new JobOutput);
  output->store_ = std::move(store);
  output->uri_ = output_uri;
  output->plan_ = &plan;
  output->options_ = options;
  absl::Status status = Guarded([&] {
    MERGANSER_RETURN_IF_ERROR(output->Claim(options.overwrite));
    return output->BeginWrites();
  });
  if (!status.ok()) {
    Guarded([&] { return output->Abandon(); }).IgnoreError();
    return status;
  }
  return output;
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
  absl::StatusOr<std::vector<UnitResult>> recorded = ProgressLog(store, claim->job, plan).Read();
  if (!recorded.ok() && !absl::IsNotFound(recorded.status())) return recorded.status();
  MERGANSER_RETURN_IF_ERROR(RefuseCoordinatorsJob(*store, *claim, recorded.status()));
  if (recorded.ok()) done = *std::move(recorded);
  JobOutputOptions options;
  options.job_uid = claim->job;
  options.epoch = claim->epoch + 1;
  options.beat_period = beat_period;
  // Beginning again removes the log with the rest of the working folder.
  return TakeOver(std::move(store), output_uri, plan, options, done,
                  [] { return absl::OkStatus(); });
}

absl::StatusOr<std::unique_ptr<JobOutput>> JobOutput::TakeOver(
    std::shared_ptr<ObjectStore> store, std::string_view output_uri, const Plan& plan,
    const JobOutputOptions& options, std::vector<UnitResult>& done,
    const std::function<absl::Status()>& forget) {
  std::unique_ptr<JobOutput> output(new JobOutput);
  output->store_ = std::move(store);
  output->uri_ = output_uri;
  output->plan_ = &plan;
  output->options_ = options;
  // Whoever claimed this output found it empty or was told to overwrite it.
  output->options_.overwrite = true;
  MERGANSER_RETURN_IF_ERROR(output->Claim(/*takeover=*/true));
  MERGANSER_ASSIGN_OR_RETURN(const bool adopted, output->AdoptWrites(done));
  if (adopted) return output;
  MERGANSER_RETURN_IF_ERROR(forget());
  done.clear();
  // On failure the claim stays: who goes on again finds it, and what was begun.
  MERGANSER_RETURN_IF_ERROR(output->BeginWrites());
  return output;
}

absl::Status JobOutput::Claim(bool takeover) {
  MERGANSER_ASSIGN_OR_RETURN(
      claim_,
      TakeClaim(*store_, MakeClaim(options_.job_uid, options_.epoch, SystemClock()), takeover));
  MERGANSER_ASSIGN_OR_RETURN(beat_, Beat::Start(store_, BeatKey(options_.job_uid, options_.epoch),
                                                claim_, options_.beat_period));
  return absl::OkStatus();
}

absl::StatusOr<bool> JobOutput::PartlyPublished(ObjectStore& store, size_t shards) {
  if (shards == 1) return false;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> index, store.Stat(kHfIndexFile));
  return !index.has_value();
}

absl::StatusOr<bool> JobOutput::AdoptWrites(const std::vector<UnitResult>& done) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<PlannedWrite> recorded,
                             ReadWrites(*store_, options_.job_uid));
  if (recorded.size() != plan_->shards.size()) return false;
  std::vector<size_t> written(plan_->shards.size()), units(plan_->shards.size());
  for (const Unit& unit : plan_->units) ++units[unit.shard];
  for (const UnitResult& result : done) {
    if (IsLastRound(*plan_, result.round)) ++written[plan_->units[result.unit].shard];
  }
  std::vector<Commit> commits(recorded.size(), Commit::kNo);
  for (size_t i = 0; i < recorded.size(); ++i) {
    const PlannedShard& shard = plan_->shards[i];
    if (recorded[i].key != shard.key || recorded[i].size != shard.size ||
        recorded[i].upload.empty()) {
      return false;
    }
    const absl::Status there = store_->FlushWrite(recorded[i]);
    if (there.ok()) continue;
    if (!absl::IsNotFound(there)) return there;
    // Killed while it published: the shard is in its place already. Unless that is a shard of
    // the older output, and somebody else removed what was written.
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store_->Stat(shard.key));
    if (!info.has_value() || info->size != shard.size || written[i] != units[i]) return false;
    MERGANSER_ASSIGN_OR_RETURN(const bool partial, PartlyPublished(*store_, recorded.size()));
    if (!partial) return false;
    commits[i] = Commit::kDone;
  }
  writes_ = std::move(recorded);
  commits_ = std::move(commits);
  for (size_t i = 0; i < writes_.size(); ++i) {
    if (commits_[i] == Commit::kDone) visible_.push_back(writes_[i].key);
  }
  return true;
}

absl::Status JobOutput::BeginWrites() {
  if (options_.overwrite) {
    MERGANSER_RETURN_IF_ERROR(ClearAllJobs(*store_));
  } else {
    // Again, now under the claim: another job may have published in between.
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> listed, store_->List(""));
    MERGANSER_RETURN_IF_ERROR(
        RefuseObjects(*store_, listed, BeatKey(options_.job_uid, options_.epoch)));
  }
  // All are put down before the first exists, so that whoever takes over can find
  // them; and once more when their uploads are known. Two records, however many
  // shards there are: each names all of them.
  std::vector<PlannedWrite> intended;
  for (const PlannedShard& shard : plan_->shards) intended.push_back({shard.key, shard.size, ""});
  MERGANSER_RETURN_IF_ERROR(RecordWrites(*store_, options_.job_uid, intended));
  for (const PlannedShard& shard : plan_->shards) {
    // Without its upload while it may or may not exist: Abandon sees to it too.
    writes_.push_back({shard.key, shard.size, ""});
    MERGANSER_ASSIGN_OR_RETURN(writes_.back(),
                               store_->BeginWrite(shard.key, shard.size, options_.job_uid));
  }
  commits_.assign(writes_.size(), Commit::kNo);
  return RecordWrites(*store_, options_.job_uid, writes_);
}

absl::Status JobOutput::CheckResults(const std::vector<UnitResult>& results) const {
  if (results.size() != plan_->units.size()) {
    return absl::InternalError(absl::StrCat("publishing ", results.size(),
                                            " unit results, expected ", plan_->units.size()));
  }
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].unit != i ||
        results[i].segment_digests.size() != plan_->units[i].segments.size()) {
      return absl::InternalError(
          absl::StrCat("publishing: result ", i, " is of unit ", results[i].unit, " with ",
                       results[i].segment_digests.size(), " segments, expected unit ", i, " with ",
                       plan_->units[i].segments.size()));
    }
    if (plan_->units[i].shard >= plan_->shards.size()) {
      return absl::InternalError(absl::StrCat("publishing: unit ", i, " is of shard ",
                                              plan_->units[i].shard, ", expected one of ",
                                              plan_->shards.size()));
    }
  }
  return absl::OkStatus();
}

// The index goes first: without it no reader takes several shards for a model.
absl::Status JobOutput::RemoveOld() {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> listed, store_->List(""));
  bool ours = false;
  for (const ListedObject& object : listed) ours = ours || object.key == kReportKey;
  MERGANSER_RETURN_IF_ERROR(store_->Delete(kHfIndexFile));
  for (const ListedObject& object : listed) {
    if (TopLevel(object.key) && object.key.ends_with(".safetensors")) {
      MERGANSER_RETURN_IF_ERROR(store_->Delete(object.key));
    }
  }
  // An adapter's weights went with the others; loading would still look for them.
  MERGANSER_RETURN_IF_ERROR(store_->Delete("adapter_config.json"));
  // Of a folder that this program did not write, small files are only replaced.
  if (!ours) return absl::OkStatus();
  for (const ListedObject& object : listed) {
    if (object.key == kConfigKey || object.key == kRecipeKey || object.key == kCardKey ||
        IsReplaceableAuxiliaryFile(object.key)) {
      MERGANSER_RETURN_IF_ERROR(store_->Delete(object.key));
    }
  }
  // Last: while it is there, a repeated run still knows whose the rest is.
  return store_->Delete(kReportKey);
}

absl::Status JobOutput::PutFile(std::string_view key, std::string_view bytes) {
  visible_.emplace_back(key);
  return store_->Put(key, bytes);
}

absl::Status JobOutput::PutSmallFiles(const std::vector<AuxiliaryFile>& auxiliary,
                                      const std::string& config, const std::string& report_json) {
  for (const AuxiliaryFile& from : auxiliary) {
    visible_.push_back(from.file.key);
    MERGANSER_RETURN_IF_ERROR(CopyAuxiliaryFile(*from.checkpoint, from.file, *store_));
  }
  if (!config.empty()) MERGANSER_RETURN_IF_ERROR(PutFile(kConfigKey, config));
  MERGANSER_RETURN_IF_ERROR(PutFile(kCardKey, ModelCard(*plan_)));
  MERGANSER_RETURN_IF_ERROR(PutFile(kRecipeKey, plan_->recipe_text));
  return PutFile(kReportKey, report_json);
}

absl::Status JobOutput::CommitShard(size_t shard, std::span<const UnitResult* const> results) {
  if (commits_[shard] == Commit::kDone) return absl::OkStatus();
  std::vector<WriteReceipt> receipts;
  for (const UnitResult* result : results) {
    receipts.insert(receipts.end(), result->receipts.begin(), result->receipts.end());
  }
  const PlannedWrite& write = writes_[shard];
  visible_.push_back(write.key);
  const bool again = std::exchange(commits_[shard], Commit::kTried) == Commit::kTried;
  absl::Status status = store_->CommitWrite(write, receipts);
  // One that failed before may have come about all the same: then its upload is gone.
  if (again && absl::IsNotFound(status)) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store_->Stat(write.key));
    if (info.has_value() && info->size == write.size) status = absl::OkStatus();
  }
  if (status.ok()) commits_[shard] = Commit::kDone;
  return status;
}

// Publication, in this order:
//   1. Everything that can fail without touching the output is done: results,
//      index, config, the list of small files.
//   2. The claim is still ours.
//   3. With --overwrite the old index, weights and small files are removed.
//   4. Several shards: they are committed; without an index they are no model.
//   5. Small files and report are put.
//   6. The claim is still ours.
//   7. The index, or the only shard, becomes visible: now it is a model.
//   8. Working folder and claim are removed. Failing here does not unmake it.
absl::Status JobOutput::Publish(const std::vector<UnitResult>& results, const OutputDonors& donors,
                                const std::string& report_json) {
  if (published_ || abandoned_) {
    return absl::InternalError(
        absl::StrCat(uri_, ": published after it was published or abandoned"));
  }
  MERGANSER_RETURN_IF_ERROR(CheckResults(results));
  std::vector<std::vector<const UnitResult*>> by_shard(plan_->shards.size());
  for (size_t i = 0; i < results.size(); ++i) {
    by_shard[plan_->units[i].shard].push_back(&results[i]);
  }
  const bool single = plan_->shards.size() == 1;
  MERGANSER_ASSIGN_OR_RETURN(const HfIndex index, MakeIndex(*plan_));
  MERGANSER_ASSIGN_OR_RETURN(const SmallFiles files, SmallFilesOf(*plan_, donors));
  MERGANSER_RETURN_IF_ERROR(CheckClaim(*store_, claim_));

  // Where a shard is in its place already, or may be, what was old went before it.
  const bool removed = std::any_of(commits_.begin(), commits_.end(),
                                   [](Commit commit) { return commit != Commit::kNo; });
  if (options_.overwrite && !removed) MERGANSER_RETURN_IF_ERROR(RemoveOld());
  for (size_t i = 0; !single && i < writes_.size(); ++i) {
    MERGANSER_RETURN_IF_ERROR(CommitShard(i, by_shard[i]));
  }
  MERGANSER_RETURN_IF_ERROR(PutSmallFiles(files.auxiliary, files.config, report_json));
  MERGANSER_RETURN_IF_ERROR(CheckClaim(*store_, claim_));
  if (single) {
    MERGANSER_RETURN_IF_ERROR(CommitShard(0, by_shard[0]));
  } else {
    MERGANSER_RETURN_IF_ERROR(PutFile(kHfIndexFile, WriteHfIndex(index)));
  }
  published_ = true;

  if (absl::Status status = Guarded([&] { return ClearUp(); }); !status.ok()) {
    warnings_.push_back(
        absl::StrCat("the merge is complete, but its working folder could not be removed: ",
                     OneLine(std::string_view(status.message().data(), status.message().size())),
                     "; it may be deleted"));
  }
  return absl::OkStatus();
}

// The claim goes last: whoever finds the folder without it may clear the folder.
absl::Status JobOutput::ClearUp() {
  beat_.reset();  // before its object goes
  absl::Status first = ClearJob(*store_, options_.job_uid, writes_);
  const absl::Status released = ReleaseClaim(*store_, claim_);
  if (first.ok()) first = released;
  if (first.ok()) claim_.clear();
  return first;
}

absl::Status JobOutput::Abandon() {
  if (claim_.empty()) return absl::OkStatus();
  abandoned_ = true;
  // A process that goes on with this job has its working folder and its writes: they are no
  // longer this one's to remove.
  const absl::StatusOr<std::optional<ClaimRecord>> now = ReadClaim(*store_);
  if (now.ok() && now->has_value() && (*now)->job == options_.job_uid &&
      absl::IsFailedPrecondition(CheckClaim(*store_, claim_))) {
    beat_.reset();
    claim_.clear();
    return absl::OkStatus();
  }
  absl::Status first;
  if (!published_ && !visible_.empty()) {
    // Last made visible, first removed: the index or the only shard before what
    // it needs. Only under the claim: after a takeover these may be another's.
    first = CheckClaim(*store_, claim_);
    const bool held = first.ok();
    if (absl::IsFailedPrecondition(first)) first = absl::OkStatus();
    for (auto key = visible_.rbegin(); held && key != visible_.rend(); ++key) {
      const absl::Status removed = store_->Delete(*key);
      if (first.ok()) first = removed;
    }
    if (held && first.ok()) visible_.clear();
  }
  const absl::Status cleared = ClearUp();
  return first.ok() ? cleared : first;
}

}  // namespace merganser
