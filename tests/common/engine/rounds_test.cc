// Rounds of a job against a method whose gate is the sum of what its leaves tell.
#include "common/engine/rounds.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Gate = the running list of what was summed; settled after `settle_after` rounds.
class Summing final : public MergeMethod {
 public:
  explicit Summing(int settle_after) : settle_after_(settle_after) {}
  std::string_view name() const override { return "summing"; }
  absl::StatusOr<TensorNeeds> Needs(const TensorSpec&) const override { return TensorNeeds(); }
  absl::StatusOr<Analysis> Analyze(const Leaf&, int, const Gate&, Executor&) const override {
    return absl::InternalError("not asked here");
  }
  absl::StatusOr<Gate> Reduce(const TensorNeeds&, int round, const Gate& state,
                              const GroupStats& stats, ReportFields& report) const override {
    if (stats.counts.empty()) return absl::InvalidArgumentError("no histogram");
    Gate gate = state;
    // Order matters: a digit a leaf.
    double digits = 0;
    for (const GroupStats::LeafSums& leaf : stats.leaves) digits = 10 * digits + leaf.sums[0];
    gate.values.push_back(digits);
    gate.values.push_back(static_cast<double>(stats.counts[0].second));
    gate.values.push_back(static_cast<double>(stats.elements));
    gate.settled = round + 1 >= settle_after_;
    report.push_back({absl::StrCat("round_", round), {digits}});
    return gate;
  }
  absl::Status Apply(const Leaf&, const Gate&, const Keepsake&, MutableTensorView, ReportFields&,
                     Executor&) const override {
    return absl::InternalError("not asked here");
  }

 private:
  const int settle_after_;
};

// Three units of one segment each: two tensors that share a gate, and a third
// tensor that has none.
Plan MakePlan(int rounds) {
  Plan plan;
  for (uint32_t t = 0; t < 3; ++t) {
    PlannedTensor tensor;
    tensor.spec = {absl::StrCat("t", t), {100}};
    tensor.elements = tensor.leaf_elements = 100;
    tensor.leaves = 1;
    if (t < 2) {
      tensor.needs.rounds = rounds;
      tensor.group = 0;
    }
    plan.tensors.push_back(tensor);
    Unit unit;
    unit.begin = 200 * t;
    unit.end = 200 * (t + 1);
    Segment segment;
    segment.tensor = t;
    segment.leaf_end = 1;
    segment.bytes_in = 600;
    segment.bytes_out = 200;
    unit.segments = {segment};
    plan.units.push_back(unit);
  }
  plan.groups = {{"both", {0, 1}, 200, true}};
  plan.rounds = rounds + 1;
  return plan;
}

UnitResult Told(uint32_t unit, uint32_t round, double sum) {
  UnitResult result;
  result.unit = unit;
  result.round = round;
  result.sums = {{unit, 0, {sum}}};
  result.counts = {{0, {{5, 1}}}};
  result.bytes_read = 600;
  result.stages = {1, 2, 3, 4, 5};
  return result;
}

UnitResult Written(uint32_t unit, uint32_t round) {
  UnitResult result;
  result.unit = unit;
  result.round = round;
  result.bytes_read = 600;
  result.stages = {0.5, 0, 0, 0, 0.25};
  result.leaves = {{unit, 0, {{"last", {1}}}, 0}};
  return result;
}

TEST(JobRoundsTest, StatsAreReducedInTensorOrderWhateverCameFirst) {
  const Plan plan = MakePlan(1);
  for (const bool backwards : {false, true}) {
    const PlanMethods methods(std::make_shared<Summing>(1));
    JobRounds rounds(plan, methods);
    EXPECT_EQ(rounds.round(), 0u);
    EXPECT_FALSE(rounds.last());
    EXPECT_THAT(rounds.units(), ElementsAre(0, 1));
    std::vector<UnitResult> results = {Told(0, 0, 3), Told(1, 0, 4)};
    if (backwards) std::swap(results[0], results[1]);
    for (UnitResult& result : results) rounds.Take(std::move(result));
    ASSERT_TRUE(rounds.Advance().ok());
    EXPECT_TRUE(rounds.last());
    EXPECT_THAT(rounds.units(), ElementsAre(0, 1, 2));
    EXPECT_THAT((*rounds.gates())[0].values, ElementsAre(34, 2, 200));
    for (uint32_t unit = 0; unit < 3; ++unit) rounds.Take(Written(unit, 1));
    const auto taken = rounds.TakeResults();
    ASSERT_TRUE(taken.ok()) << taken.status();
    EXPECT_EQ((*taken)[0].bytes_read, 1200u);
    EXPECT_EQ((*taken)[0].stages, (StageSeconds{1.5, 2, 3, 4, 5.25}));
    EXPECT_EQ((*taken)[2].bytes_read, 600u);
    ASSERT_EQ((*taken)[0].groups.size(), 1u);
    EXPECT_EQ((*taken)[0].groups[0].fields[0].key, "round_0");
    EXPECT_THAT((*taken)[1].groups, IsEmpty());
  }
}

TEST(JobRoundsTest, HistogramsAreCountedOnceWhetherTakenEarlyOrLate) {
  const Plan plan = MakePlan(1);
  const PlanMethods methods(std::make_shared<Summing>(1));
  JobRounds rounds(plan, methods);
  UnitResult early = Told(0, 0, 1);
  rounds.TakeCounts(early);
  EXPECT_THAT(early.counts, IsEmpty());
  rounds.Take(std::move(early));
  rounds.Take(Told(1, 0, 2));
  ASSERT_TRUE(rounds.Advance().ok());
  EXPECT_EQ((*rounds.gates())[0].values[1], 2);
}

TEST(JobRoundsTest, ASettledGatePassesOverTheRoundsThatAreLeft) {
  const Plan plan = MakePlan(3);
  const PlanMethods methods(std::make_shared<Summing>(2));
  JobRounds rounds(plan, methods);
  for (uint32_t round = 0; round < 2; ++round) {
    EXPECT_EQ(rounds.round(), round);
    for (const uint32_t unit : {0u, 1u}) rounds.Take(Told(unit, round, 1));
    ASSERT_TRUE(rounds.Advance().ok());
  }
  EXPECT_EQ(rounds.round(), 3u);
  EXPECT_TRUE(rounds.last());
}

TEST(JobRoundsTest, AFailedReductionNamesTheGate) {
  const Plan plan = MakePlan(1);
  const PlanMethods methods(std::make_shared<Summing>(1));
  JobRounds rounds(plan, methods);
  for (const uint32_t unit : {0u, 1u}) {
    UnitResult result = Told(unit, 0, 1);
    result.counts.clear();
    rounds.Take(std::move(result));
  }
  EXPECT_THAT(std::string(rounds.Advance().message()), HasSubstr("gate of both"));
}

TEST(JobRoundsTest, AMissingUnitIsNoResult) {
  const Plan plan = MakePlan(0);
  const PlanMethods methods(std::make_shared<Summing>(1));
  JobRounds rounds(plan, methods);
  EXPECT_TRUE(rounds.last());
  rounds.Take(Written(0, 0));
  EXPECT_EQ(rounds.TakeResults().status().code(), absl::StatusCode::kInternal);
}

TEST(AllRoundsTest, CountsWhatIsReadForAnalysisAndWhatIsWritten) {
  const TotalWork work = AllRounds(MakePlan(2));
  EXPECT_EQ(work.units, 2u + 2 + 3);
  EXPECT_EQ(work.bytes, 2 * 2 * 600u + 3 * 200);
}

}  // namespace
}  // namespace merganser
