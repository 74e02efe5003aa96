#include "worker/round_feed.h"

#include <set>
#include <utility>

#include "common/base/status.h"
#include "common/engine/lost_units.h"

namespace merganser {

RoundFeed::RoundFeed(std::shared_ptr<const JobContext> job, std::vector<UnitResult> done)
    : job_(std::move(job)), rounds_(job_->plan, *job_->methods), done_before_(std::move(done)) {
  BeginRound();
}

void RoundFeed::BeginRound() {
  const uint32_t round = rounds_.round();
  std::set<uint32_t> there;
  for (UnitResult& result : done_before_) {
    if (result.round != round || !there.insert(result.unit).second) continue;
    progress_.bytes_done +=
        RoundBytes(job_->plan, job_->plan.units[result.unit], round, *rounds_.gates());
    ++progress_.units_done;
    rounds_.Take(std::move(result));
  }
  todo_.clear();
  for (const uint32_t unit : rounds_.units()) {
    if (!there.contains(unit)) todo_.push_back(unit);
  }
  next_ = ended_ = 0;
}

std::optional<uint32_t> RoundFeed::NextUnit() {
  if (next_ == todo_.size()) return std::nullopt;
  return todo_[next_++];
}

void RoundFeed::Take(UnitResult result) {
  ++progress_.units_done;
  ++ended_;
  rounds_.Take(std::move(result));
}

absl::Status RoundFeed::Advance() {
  absl::Status status = rounds_.Advance();
  if (status.ok()) BeginRound();
  return status;
}

absl::StatusOr<bool> RoundFeed::RedoLost() {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<uint32_t> lost,
                             LostUnits(*job_->output, job_->plan, job_->writes, rounds_.results()));
  if (lost.empty()) return false;
  if (++redone_ > kMostRedone) return RedoneTooOften(lost.size());
  for (const uint32_t unit : lost) {
    progress_.bytes_done -= RoundBytes(job_->plan, job_->plan.units[unit], round(), *gates());
    --progress_.units_done;
  }
  todo_ = lost;
  rounds_.Redo(std::move(lost));
  next_ = ended_ = 0;
  return true;
}

RunProgress RoundFeed::progress() const {
  RunProgress progress = progress_;
  progress.round = rounds_.round();
  return progress;
}

}  // namespace merganser
