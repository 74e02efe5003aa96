// What is left to do of a job's rounds: what sources share that see the whole of a
// job (in-process, and rank 0 of an MPI run).
#ifndef MERGANSER_WORKER_ROUND_FEED_H_
#define MERGANSER_WORKER_ROUND_FEED_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/unit_source.h"

namespace merganser {

struct RunProgress {
  uint32_t round = 0;
  uint32_t units_done = 0;  // of all rounds
  uint64_t bytes_done = 0;  // read for analysis, or written
};

// Gives every unit of a round once, in the plan's order, and takes their results.
// Not thread-safe.
class RoundFeed {
 public:
  // `done`: results of an earlier run of the same plan, whose bytes are durable;
  // their units are not given out again.
  RoundFeed(std::shared_ptr<const JobContext> job, std::vector<UnitResult> done);

  uint32_t round() const { return rounds_.round(); }
  bool last() const { return rounds_.last(); }
  const std::shared_ptr<const Gates>& gates() const { return rounds_.gates(); }

  // nullopt when all units of the round are given out.
  std::optional<uint32_t> NextUnit();
  // The result of a unit that was given out. Once a unit and round.
  void Take(UnitResult result);
  // Every unit of the round has its result.
  bool RoundDone() const { return ended_ == todo_.size(); }
  // After RoundDone, in any round but the last: derives the gates of the next.
  absl::Status Advance();
  // After RoundDone of the last round: whether units have to be done again, as the output does not
  // hold what they wrote (LostUnits); they are given out once more. Asks the output's store.
  // kAborted where that happens again and again.
  absl::StatusOr<bool> RedoLost();
  // After RoundDone of the last round: every unit's result, in unit order.
  absl::StatusOr<std::vector<UnitResult>> TakeResults() { return rounds_.TakeResults(); }

  // Bytes moved by a unit that is not done yet.
  void AddBytes(uint64_t bytes) { progress_.bytes_done += bytes; }
  RunProgress progress() const;

 private:
  // Takes what `done_before_` has of the round and lists the rest of its units.
  void BeginRound();

  const std::shared_ptr<const JobContext> job_;
  JobRounds rounds_;
  std::vector<UnitResult> done_before_;
  std::vector<uint32_t> todo_;  // units of the round
  size_t next_ = 0;             // into todo_
  size_t ended_ = 0;            // of the round
  RunProgress progress_;
  int redone_ = 0;  // how often units were given out again
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_ROUND_FEED_H_
