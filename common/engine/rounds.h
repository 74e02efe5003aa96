// The rounds of a job: which units take part in which, what their results come to,
// and the gates that follow. Every way of running drives the same object; only
// where units are done differs.
//
//   rounds 0 .. Plan::rounds - 2   analyze what belongs to groups that span segments
//   round Plan::rounds - 1         every unit is written
#ifndef MERGANSER_COMMON_ENGINE_ROUNDS_H_
#define MERGANSER_COMMON_ENGINE_ROUNDS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/engine/unit_result.h"
#include "common/methods/registry.h"
#include "common/plan/plan.h"

namespace merganser {

// The methods of a plan: Plan::method, then its overrides.
class PlanMethods {
 public:
  static absl::StatusOr<PlanMethods> Make(const Plan& plan);

  const MergeMethod& of(const PlannedTensor& tensor) const {
    return *methods_[methods_.size() == 1 ? 0 : tensor.method];
  }
  // One method for every tensor.
  explicit PlanMethods(std::shared_ptr<const MergeMethod> method);

 private:
  PlanMethods() = default;
  std::vector<std::shared_ptr<const MergeMethod>> methods_;
};

// One a Plan::groups; those of groups within a segment stay empty. Plain data: it
// travels.
using Gates = std::vector<Gate>;

inline bool IsLastRound(const Plan& plan, uint32_t round) {
  return round + 1 >= static_cast<uint32_t>(plan.rounds);
}

// Whether the segment has anything to do in `round`, of which `gates` is the state
// (empty in round 0).
bool TakesPart(const Plan& plan, const Segment& segment, uint32_t round, const Gates& gates);

// Bytes that a unit moves in `round`: read where it analyzes, written where it
// writes. What progress is counted in.
uint64_t RoundBytes(const Plan& plan, const Unit& unit, uint32_t round, const Gates& gates);

// Work of all rounds together, as if no gate were settled early.
struct TotalWork {
  uint64_t bytes = 0;
  uint64_t units = 0;
};
TotalWork AllRounds(const Plan& plan);

// Not thread-safe.
class JobRounds {
 public:
  // Both must outlive the object.
  JobRounds(const Plan& plan, const PlanMethods& methods);

  uint32_t round() const { return round_; }
  bool last() const { return IsLastRound(plan_, round_); }
  // Those that take part in this round, ascending.
  const std::vector<uint32_t>& units() const { return units_; }
  // The state of this round, or in the last one the gates.
  const std::shared_ptr<const Gates>& gates() const { return gates_; }

  // Moves the result's histograms out and adds them: integers need no order, and
  // are too many to be kept unit by unit. Take does it too, where it was not done.
  // Once a unit and round.
  void TakeCounts(UnitResult& result);
  // The result of a unit of this round. Once a unit. With the last one of a group its gate is
  // derived and its histograms go: those of groups that units are at are kept, not of all.
  void Take(UnitResult result);

  // After all units of a round but the last: goes on to the next round under the gates that
  // were derived. Rounds in which nothing is left to do are passed over.
  absl::Status Advance();

  // In the last round: results as far as they are taken, one a unit.
  const std::vector<UnitResult>& results() const { return results_; }
  // After all units of the last round: `units`, ascending, are done once more, and a result of each
  // is to be taken again. It counts for its receipts alone: what was written must be the same.
  void Redo(std::vector<uint32_t> units);

  // After all units of the last round: every unit's result, in unit order, with
  // what all rounds measured of it. kInternal if one is missing, or came out otherwise when it was
  // done again.
  absl::StatusOr<std::vector<UnitResult>> TakeResults();

 private:
  void BeginRound();
  // Groups that `unit` tells of in this round, each once.
  std::vector<size_t> GroupsOf(const Unit& unit) const;
  void Derive(size_t group);
  void TakeAgain(UnitResult result);

  const Plan& plan_;
  const PlanMethods& methods_;
  uint32_t round_ = 0;
  std::vector<uint32_t> units_;
  std::shared_ptr<const Gates> gates_;
  std::vector<GroupStats> stats_;     // one a group, of this round
  std::vector<uint32_t> missing_;     // units of this round whose results are, one a group
  std::shared_ptr<Gates> next_;       // as far as they are derived
  std::vector<GroupReport> derived_;  // with them, in any order
  // Of the first group whose gate could not be.
  std::optional<std::pair<size_t, absl::Status>> failure_;
  std::vector<GroupReport> reports_;  // of all rounds
  std::vector<UnitResult> results_;   // one a unit
  std::vector<bool> written_;
  bool redoing_ = false;
  absl::Status redone_;  // whether what was done again came out the same
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_ROUNDS_H_
