// JobOutput, the part that makes the model visible.
#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/auxiliary/auxiliary_files.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/job_output.h"
#include "common/engine/output_files.h"
#include "common/engine/working_folder.h"
#include "common/format/hf_index.h"
#include "common/format/safetensors.h"
#include "common/plan/encoding.h"

namespace merganser {
namespace {

bool TopLevel(std::string_view key) { return key.find('/') == std::string_view::npos; }

absl::StatusOr<HfIndex> MakeIndex(const Plan& plan) {
  HfIndex index;
  for (const PlannedTensor& tensor : plan.tensors) {
    for (const WrittenTensor& written : WrittenTensors(tensor)) {
      const std::optional<uint64_t> bytes = TensorBytes(written.spec.dtype, written.spec.shape);
      if (!bytes || tensor.shard >= plan.shards.size()) {
        return absl::InternalError(
            absl::StrCat("tensor '", OneLine(written.spec.name), "' has no place in the plan"));
      }
      index.total_size += *bytes;
      index.weight_map.emplace_back(written.spec.name, plan.shards[tensor.shard].key);
    }
  }
  std::sort(index.weight_map.begin(), index.weight_map.end());
  return index;
}

}  // namespace

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

// The index goes first: without it no reader takes several shards for a model. What goes was listed
// before the claim was last checked, so that it is nobody's who took the claim since.
absl::Status JobOutput::RemoveOld() {
  const ListedObject* report = nullptr;
  const auto remove = [&](const auto& which) {
    for (const ListedObject& object : old_) {
      if (!which(object.key)) continue;
      MERGANSER_RETURN_IF_ERROR(store_->Delete(object.key, object.info.identity));
    }
    return absl::OkStatus();
  };
  for (const ListedObject& object : old_) {
    if (object.key == kReportKey) report = &object;
  }
  MERGANSER_RETURN_IF_ERROR(remove(
      [](std::string_view key) { return key == kHfIndexFile || key == kConsolidatedIndexFile; }));
  MERGANSER_RETURN_IF_ERROR(
      remove([](std::string_view key) { return TopLevel(key) && key.ends_with(".safetensors"); }));
  // An adapter's weights went with the others; loading would still look for them.
  MERGANSER_RETURN_IF_ERROR(
      remove([](std::string_view key) { return key == "adapter_config.json"; }));
  // Of a folder that this program did not write, small files are only replaced.
  if (report == nullptr) return absl::OkStatus();
  MERGANSER_RETURN_IF_ERROR(remove([](std::string_view key) {
    return key == kConfigKey || key == kRecipeKey || key == kCardKey ||
           IsReplaceableAuxiliaryFile(key);
  }));
  // Last: while it is there, a repeated run still knows whose the rest is.
  return store_->Delete(report->key, report->info.identity);
}

absl::Status JobOutput::StageFiles(const OutputFiles& files, const std::string& index) {
  // Put down before they are begun, as the shards are.
  std::vector<PlannedWrite> intended;
  intended.reserve(files.copied.size() + files.written.size() + 1);
  for (const AuxiliaryFile& from : files.copied) intended.push_back({from.file.key, 0, ""});
  for (const auto& [key, bytes] : files.written) intended.push_back({key, 0, ""});
  if (!index.empty()) intended.push_back({std::string(kHfIndexFile), 0, ""});
  MERGANSER_RETURN_IF_ERROR(
      RecordWrites(*store_, options_.job_uid, options_.epoch, WritesRecord::kFiles, intended));
  for (const AuxiliaryFile& from : files.copied) {
    MERGANSER_ASSIGN_OR_RETURN(const std::string bytes, ReadAuxiliaryFile(from));
    MERGANSER_RETURN_IF_ERROR(StageFile(from.file.key, bytes));
  }
  for (const auto& [key, bytes] : files.written) {
    MERGANSER_RETURN_IF_ERROR(StageFile(key, bytes));
  }
  return index.empty() ? absl::OkStatus() : StageFile(std::string(kHfIndexFile), index);
}

absl::Status JobOutput::StageFile(const std::string& key, std::string_view bytes) {
  const std::string writer = WriterOf(options_.job_uid, options_.epoch);
  const auto [staged, first] = staged_.try_emplace(key);
  StagedFile& file = staged->second;
  // What an attempt began that failed; its answer may have got lost.
  if (!first) MERGANSER_RETURN_IF_ERROR(store_->AbortWritesOf(key, writer, claimed_));
  // Without its upload while it may or may not exist: ClearUp sees to it too.
  file = {{key, bytes.size()}, {}};
  MERGANSER_ASSIGN_OR_RETURN(file.write, BeginWrite({key, bytes.size()}));
  if (bytes.empty()) return absl::OkStatus();
  MERGANSER_ASSIGN_OR_RETURN(
      const WriteReceipt receipt,
      store_->WriteRange(file.write, 0,
                         std::as_bytes(std::span<const char>(bytes.data(), bytes.size()))));
  file.receipts.push_back(receipt);
  return absl::OkStatus();
}

absl::Status JobOutput::CommitFile(const std::string& key) {
  const StagedFile& file = staged_[key];
  visible_.push_back(key);
  return store_->CommitWrite(file.write, file.receipts);
}

absl::Status JobOutput::NoteCommitted() {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<size_t> gone, GoneWrites());
  if (gone.empty()) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat(store_->Describe(writes_[gone.front()].key),
                   ": its write is not under way any more, and it is not in its place: "
                   "somebody else aborted it or removed what was written"));
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
  // One that failed before may have come about all the same: then its upload is gone. And where
  // the writes were taken over, the process that began them may have been no more than slow.
  if ((again || adopted_) && absl::IsNotFound(status)) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store_->Stat(write.key));
    // What stood there before this process touched anything is an older output's.
    const bool was_there =
        !again && info.has_value() &&
        std::any_of(old_.begin(), old_.end(), [&](const ListedObject& object) {
          return object.key == write.key && object.info.identity == info->identity;
        });
    if (info.has_value() && info->size == write.size && !was_there) status = absl::OkStatus();
  }
  if (status.ok()) commits_[shard] = Commit::kDone;
  return status;
}

// Publication, in this order:
//   1. Everything that can fail without touching the output is done: results, index, config, and
//      all small files are written beside their places, the index among them.
//   2. What is to be removed is listed; then the claim is still ours.
//   3. With --overwrite the old index, weights and small files are removed.
//   4. Several shards: they are committed; without an index they are no model.
//   5. Small files are committed, the report last.
//   6. The claim is still ours.
//   7. The index, or the only shard, becomes visible: now it is a model.
//   8. Working folder and claim are removed. Failing here does not unmake it.
// Whoever takes the output over aborts, before he touches anything else, all that this process has
// written beside its place. So nothing that it commits after step 2 is visible among his, however
// long it was stopped; README.md has the table.
absl::Status JobOutput::PublishOnce(const std::vector<UnitResult>& results,
                                    const OutputFiles& files) {
  MERGANSER_RETURN_IF_ERROR(CheckResults(results));
  std::vector<std::vector<const UnitResult*>> by_shard(plan_->shards.size());
  for (size_t i = 0; i < results.size(); ++i) {
    by_shard[plan_->units[i].shard].push_back(&results[i]);
  }
  const bool single = plan_->shards.size() == 1;
  MERGANSER_ASSIGN_OR_RETURN(const HfIndex index, MakeIndex(*plan_));
  MERGANSER_RETURN_IF_ERROR(CheckClaim(*store_, claim_));  // nothing is written in vain
  MERGANSER_RETURN_IF_ERROR(StageFiles(files, single ? "" : WriteHfIndex(index)));

  if (options_.overwrite) {
    MERGANSER_ASSIGN_OR_RETURN(old_, ListModelFiles(*store_));
  }
  if (adopted_) MERGANSER_RETURN_IF_ERROR(NoteCommitted());
  MERGANSER_RETURN_IF_ERROR(CheckClaim(*store_, claim_));
  // Where a shard is in its place already, or may be, what was old went before it.
  const bool removed = std::any_of(commits_.begin(), commits_.end(),
                                   [](Commit commit) { return commit != Commit::kNo; });
  if (options_.overwrite && !removed) MERGANSER_RETURN_IF_ERROR(RemoveOld());
  for (size_t i = 0; !single && i < writes_.size(); ++i) {
    MERGANSER_RETURN_IF_ERROR(CommitShard(i, by_shard[i]));
  }
  for (const AuxiliaryFile& from : files.copied) {
    MERGANSER_RETURN_IF_ERROR(CommitFile(from.file.key));
  }
  for (const auto& [key, bytes] : files.written) MERGANSER_RETURN_IF_ERROR(CommitFile(key));
  MERGANSER_RETURN_IF_ERROR(CheckClaim(*store_, claim_));
  return single ? CommitShard(0, by_shard[0]) : CommitFile(std::string(kHfIndexFile));
}

absl::Status JobOutput::Publish(const std::vector<UnitResult>& results, const OutputFiles& files) {
  if (published_ || abandoned_) {
    return absl::InternalError(
        absl::StrCat(uri_, ": published after it was published or abandoned"));
  }
  const absl::Status status = PublishOnce(results, files);
  if (absl::IsNotFound(status)) {
    // Where what was written beside its place is gone, it is a matter of the claim as a rule.
    MERGANSER_RETURN_IF_ERROR(CheckClaim(*store_, claim_));
  }
  MERGANSER_RETURN_IF_ERROR(status);
  published_ = true;
  if (absl::Status cleared = Guarded([&] { return ClearUp(/*withdraw=*/false); }); !cleared.ok()) {
    warnings_.push_back(
        absl::StrCat("the merge is complete, but its working folder could not be removed: ",
                     OneLine(std::string_view(cleared.message().data(), cleared.message().size())),
                     "; it may be deleted"));
  }
  return absl::OkStatus();
}

}  // namespace merganser
