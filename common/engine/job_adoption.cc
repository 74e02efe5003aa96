// JobOutput, the part that takes up planned writes as they are: those of a process before this
// one, and those of its own that the store dropped meanwhile.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/job_output.h"
#include "common/engine/lost_units.h"
#include "common/engine/rounds.h"
#include "common/engine/working_folder.h"
#include "common/format/hf_index.h"
#include "common/plan/pieces.h"

namespace merganser {

absl::StatusOr<bool> JobOutput::PartlyPublished(ObjectStore& store, size_t shards) {
  if (shards == 1) return false;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> index, store.Stat(kHfIndexFile));
  return !index.has_value();
}

absl::StatusOr<bool> JobOutput::AdoptWrites(std::vector<UnitResult>& done) {
  MERGANSER_ASSIGN_OR_RETURN(BegunWrites begun, ReadBegunWrites(*store_, options_.job_uid));
  std::vector<PlannedWrite> recorded = std::move(begun.writes);
  if (recorded.size() != plan_->shards.size()) return false;
  std::vector<size_t> written(plan_->shards.size()), units(plan_->shards.size());
  for (const Unit& unit : plan_->units) ++units[unit.shard];
  for (const UnitResult& result : done) {
    if (IsLastRound(*plan_, result.round)) ++written[plan_->units[result.unit].shard];
  }
  const std::vector<std::vector<uint64_t>> ends = ShardPieceEnds(*plan_);
  std::vector<Commit> commits(recorded.size(), Commit::kNo);
  std::vector<size_t> gone;
  for (size_t i = 0; i < recorded.size(); ++i) {
    const PlannedShard& shard = plan_->shards[i];
    if (recorded[i].key != shard.key || recorded[i].size != shard.size ||
        recorded[i].ends != ends[i] || recorded[i].upload.empty()) {
      return false;
    }
    MERGANSER_ASSIGN_OR_RETURN(const bool stands, store_->Stands(recorded[i]));
    if (stands) continue;
    // Killed while it published: the shard is in its place already. Unless that is a shard of
    // the older output, and somebody else removed what was written.
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store_->Stat(shard.key));
    bool committed = info.has_value() && info->size == shard.size && written[i] == units[i];
    if (committed) {
      MERGANSER_ASSIGN_OR_RETURN(committed, PartlyPublished(*store_, recorded.size()));
    }
    if (committed) {
      commits[i] = Commit::kDone;
    } else {
      gone.push_back(i);
    }
  }
  // Where ranges are free, what is on record of a later write could not be told from what is not
  // there: all of it is begun again.
  if (!gone.empty() && !store_->traits().whole_pieces) return false;
  adopted_ = true;
  writes_ = std::move(recorded);
  commits_ = std::move(commits);
  for (size_t i = 0; i < writes_.size(); ++i) {
    if (commits_[i] == Commit::kDone) visible_.push_back(writes_[i].key);
  }
  if (!gone.empty()) {
    MERGANSER_RETURN_IF_ERROR(BeginAgain(gone, done));
  } else {
    // What the process before this one may have written since over what is on record.
    MERGANSER_RETURN_IF_ERROR(DropLost(done));
  }
  return true;
}

absl::Status JobOutput::DropLost(std::vector<UnitResult>& done) {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<uint32_t> lost, LostUnits(done));
  std::erase_if(done, [&](const UnitResult& result) {
    return IsLastRound(*plan_, result.round) &&
           std::binary_search(lost.begin(), lost.end(), result.unit);
  });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<size_t>> JobOutput::GoneWrites() {
  std::vector<size_t> gone;
  for (size_t i = 0; i < writes_.size(); ++i) {
    if (commits_[i] == Commit::kDone) continue;
    // Without an upload it was being begun again when that failed.
    if (!writes_[i].upload.empty()) {
      MERGANSER_ASSIGN_OR_RETURN(const bool stands, store_->Stands(writes_[i]));
      if (stands) continue;
    }
    bool committed = false;
    if (adopted_) {
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info,
                                 store_->Stat(writes_[i].key));
      MERGANSER_ASSIGN_OR_RETURN(committed, PartlyPublished(*store_, writes_.size()));
      if (!committed) {
        MERGANSER_ASSIGN_OR_RETURN(committed, HoldsMergeOf(*store_, *plan_));
      }
      committed = committed && info.has_value() && info->size == writes_[i].size;
    }
    if (!committed) {
      gone.push_back(i);
      continue;
    }
    visible_.push_back(writes_[i].key);
    commits_[i] = Commit::kDone;
  }
  return gone;
}

absl::StatusOr<bool> JobOutput::WritesAreGone() {
  if (!store_->traits().whole_pieces) return false;
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<size_t> gone, GoneWrites());
  return !gone.empty();
}

absl::StatusOr<bool> JobOutput::BeginGoneWrites(std::vector<UnitResult>& done) {
  if (!store_->traits().whole_pieces) return false;
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<size_t> gone, GoneWrites());
  if (gone.empty()) return false;
  // Where another took the claim over, it was he who aborted them.
  MERGANSER_RETURN_IF_ERROR(CheckClaim(*store_, claim_));
  MERGANSER_RETURN_IF_ERROR(BeginAgain(gone, done));
  return true;
}

absl::Status JobOutput::BeginAgain(const std::vector<size_t>& shards,
                                   std::vector<UnitResult>& done) {
  std::erase_if(done, [&](const UnitResult& result) {
    return IsLastRound(*plan_, result.round) &&
           std::binary_search(shards.begin(), shards.end(), plan_->units[result.unit].shard);
  });
  MERGANSER_RETURN_IF_ERROR(DropLost(done));
  // In the order of BeginWrites.
  std::vector<PlannedWrite> writes;
  for (const size_t shard : shards) {
    writes_[shard].upload.clear();
    writes.push_back({writes_[shard].key, writes_[shard].size});
  }
  ++begun_again_;
  MERGANSER_RETURN_IF_ERROR(RecordWrites(*store_, options_.job_uid, options_.epoch,
                                         WritesRecord::kIntended, writes, begun_again_));
  for (size_t i = 0; i < shards.size(); ++i) {
    PlannedWrite& write = writes_[shards[i]];
    MERGANSER_ASSIGN_OR_RETURN(write, BeginWrite({write.key, write.size, write.ends}));
    writes[i] = write;
  }
  return RecordWrites(*store_, options_.job_uid, options_.epoch, WritesRecord::kBegun, writes,
                      begun_again_);
}

absl::StatusOr<std::vector<uint32_t>> JobOutput::LostUnits(const std::vector<UnitResult>& results) {
  return merganser::LostUnits(*store_, *plan_, writes_, results);
}

}  // namespace merganser
