#include "worker/sources/mpi/dealer.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/engine/result_record.h"

namespace merganser {

Dealer::Dealer(std::shared_ptr<const JobContext> job, int ranks, std::vector<UnitResult> done,
               Duration silence, MonotonicTime now,
               std::function<void(const UnitResult&)> completed)
    : job_(std::move(job)),
      silence_(silence),
      completed_(std::move(completed)),
      feed_(job_, std::move(done)),
      ranks_(static_cast<size_t>(ranks)),
      ending_since_(now),
      last_check_(now) {
  for (Rank& rank : ranks_) rank.heard = now;
}

std::string Dealer::Name(int rank) const {
  const std::string& host = ranks_[static_cast<size_t>(rank)].host;
  return host.empty() ? absl::StrCat("rank ", rank) : absl::StrCat("rank ", rank, " on ", host);
}

void Dealer::AddRoom(int rank, int64_t room) {
  Rank& of = ranks_[static_cast<size_t>(rank)];
  hungry_.erase({-of.room, rank});
  of.room += room;
  if (of.room > 0) hungry_.insert({-of.room, rank});
}

void Dealer::Handle(int rank, const Message& message, MonotonicTime now) {
  Rank& from = ranks_[static_cast<size_t>(rank)];
  from.heard = now;
  switch (message.kind) {
    case MessageKind::kHello:
      if (from.host.empty()) ++ready_;
      from.host = message.text.empty() ? "an unnamed host" : OneLine(message.text);
      if (message.number != kNumericsVersion) {
        return Fail(absl::FailedPreconditionError(absl::StrCat(
                        Name(rank), ": found numerics version ", message.number, ", expected ",
                        kNumericsVersion, ": install one version of the program everywhere")),
                    now);
      }
      if (ready_ == ranks_.size()) Proceed(now);
      return;
    case MessageKind::kWanted:
      // No plan has more units.
      AddRoom(rank, static_cast<int64_t>(std::min<uint64_t>(message.number, UINT32_MAX)));
      return Deal();
    case MessageKind::kProgress:
      return feed_.AddBytes(message.number);
    case MessageKind::kResult:
      return TakeResult(rank, message, now);
    case MessageKind::kFailed:
      return Fail(Annotate(FailureOf(message), Name(rank)), now);
    case MessageKind::kInterrupted:
      return Fail(
          absl::CancelledError(absl::StrCat("interrupted: ", Name(rank), " was told to stop")),
          now);
    case MessageKind::kStopped:
      if (!from.stopped) ++stopped_;
      from.stopped = true;
      if (!ending_) Fail(absl::InternalError(absl::StrCat(Name(rank), " stopped too early")), now);
      return;
    default:
      return Fail(absl::InternalError(absl::StrCat(Name(rank), ": found a message of kind ",
                                                   static_cast<int>(message.kind),
                                                   ", expected one of those for rank 0")),
                  now);
  }
}

void Dealer::TakeResult(int rank, const Message& message, MonotonicTime now) {
  absl::StatusOr<UnitResult> result = ParseResult(message.text, job_->plan);
  if (!result.ok()) return Fail(Annotate(result.status(), Name(rank)), now);
  Rank& from = ranks_[static_cast<size_t>(rank)];
  if (from.held.count({result->round, result->unit}) == 0) {
    return Fail(absl::InternalError(
                    absl::StrCat(Name(rank), ": found a result of a unit that it does not hold")),
                now);
  }
  from.held.erase({result->round, result->unit});
  completed_(*result);
  feed_.Take(*std::move(result));
  if (feed_.RoundDone()) Proceed(now);
}

void Dealer::Proceed(MonotonicTime now) {
  bool advanced = false;
  while (!ending_ && feed_.RoundDone()) {
    if (feed_.last()) {
      const absl::StatusOr<bool> again = feed_.RedoLost();
      if (!again.ok()) return Fail(again.status(), now);
      if (*again) break;
      ending_ = true;
      ending_since_ = now;
      outgoing_.push_back({kEveryone, {.kind = MessageKind::kEnd}, nullptr});
      return;
    }
    if (absl::Status status = feed_.Advance(); !status.ok()) return Fail(std::move(status), now);
    advanced = true;
  }
  if (advanced) {
    outgoing_.push_back(
        {kEveryone, {.kind = MessageKind::kGates, .round = feed_.round()}, feed_.gates()});
  }
  Deal();
}

void Dealer::Deal() {
  if (ending_ || ready_ < ranks_.size()) return;
  std::map<int, std::vector<uint32_t>> given;
  while (!hungry_.empty()) {
    const std::optional<uint32_t> unit = feed_.NextUnit();
    if (!unit.has_value()) break;
    const int rank = hungry_.begin()->second;
    AddRoom(rank, -1);
    ranks_[static_cast<size_t>(rank)].held.insert({feed_.round(), *unit});
    given[rank].push_back(*unit);
  }
  for (auto& [rank, units] : given) {
    Message message{.kind = MessageKind::kUnits, .round = feed_.round()};
    message.units = std::move(units);
    outgoing_.push_back({rank, std::move(message), nullptr});
  }
}

void Dealer::Fail(absl::Status status, MonotonicTime now) {
  if (!status_.ok()) return;
  status_ = std::move(status);
  ending_ = true;
  ending_since_ = now;
  outgoing_.push_back({kEveryone, {.kind = MessageKind::kDrop}, nullptr});
}

absl::Status Dealer::CheckRanks(MonotonicTime now) {
  // After a pause of this process everybody gets a full term: their words may be on
  // the way.
  const bool paused = now - last_check_ > silence_ / 4;
  last_check_ = now;
  if (paused) ending_since_ = now;
  for (int r = 0; r < static_cast<int>(ranks_.size()); ++r) {
    Rank& rank = ranks_[static_cast<size_t>(r)];
    if (rank.stopped) continue;
    if (paused) rank.heard = now;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(silence_).count();
    if (now - rank.heard > silence_) {
      return absl::UnavailableError(absl::StrCat(Name(r), ": found no sign of life for ", seconds,
                                                 " s; is its machine gone?"));
    }
    if (!status_.ok() && now - ending_since_ > silence_) {
      return absl::UnavailableError(
          absl::StrCat(Name(r), ": did not stop within ", seconds, " s; does its storage hang?"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<UnitResult>> Dealer::TakeResults() {
  if (!status_.ok()) return status_;
  return feed_.TakeResults();
}

}  // namespace merganser
