// Task vectors of known rank: which they are, what their factors take, and what the plan says of
// ranks.
#include "common/plan/known_rank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/plan/layout.h"
#include "common/plan/rank_notes.h"
#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kFirst[] = "model.layers.0.self_attn.q_proj.weight";
constexpr char kSecond[] = "model.layers.0.mlp.up_proj.weight";
constexpr char kThird[] = "model.layers.0.mlp.down_proj.weight";
constexpr uint64_t kRows = 64, kCols = 48;

LowRankTerm Term(uint64_t rank) {
  LowRankTerm term;
  term.rank = rank;
  term.row_factor = {{1, 0, DType::kBF16, kRows * rank}, 0, rank, 1};
  term.column_factor = LowRankFactor{{1, 0, DType::kBF16, kCols * rank}, 0, 1, kCols};
  return term;
}

// Base, and "a" with adapters of these ranks on the first two tensors; "b" is the base's own files.
std::vector<Checkpoint> Models(const std::vector<uint64_t>& first,
                               const std::vector<uint64_t>& second) {
  const Checkpoint base = FakeCheckpoint("base", {{kFirst, DType::kBF16, {kRows, kCols}},
                                                  {kSecond, DType::kBF16, {kRows, kCols}},
                                                  {kThird, DType::kBF16, {kRows, kCols}}});
  std::vector<Checkpoint> models = {base};
  for (const std::string name : {"a", "b"}) {
    Checkpoint model = base;
    model.given = name;
    model.places.push_back({"/adapters/" + name, name, base.store});
    CheckpointShard shard;
    shard.key = "adapter_model.safetensors";
    shard.info = {uint64_t{1} << 20, name};
    shard.place = 1;
    model.shards.push_back(shard);
    for (size_t t = 0; t < 2 && name == "a"; ++t) {
      LowRankUpdate update;
      for (const uint64_t rank : t == 0 ? first : second) update.terms.push_back(Term(rank));
      if (!update.terms.empty()) model.tensors[t].update = update;
    }
    models.push_back(model);
  }
  return models;
}

Plan Must(std::string_view recipe, const std::vector<Checkpoint>& models) {
  absl::StatusOr<Plan> plan = PlanOf(recipe, models);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : Plan();
}

std::optional<uint64_t> RankIn(const Plan& plan, std::string_view tensor, size_t source) {
  const PlannedTensor& planned = TensorOf(plan, tensor);
  return KnownRank(planned, planned.sources.at(source));
}

TEST(KnownRank, IsTheSumOfTheTermsRanks) {
  const Plan plan = Must(kResMerge, Models({4, 3}, {}));
  EXPECT_EQ(RankIn(plan, kFirst, 0), std::nullopt) << "the base";
  EXPECT_EQ(RankIn(plan, kFirst, 1), 7u);
  EXPECT_EQ(RankIn(plan, kFirst, 2), 0u) << "a task vector of zeros";
  EXPECT_EQ(RankIn(plan, kSecond, 1), 0u);
}

TEST(KnownRank, IsNotKnownOfWhatIsNoSumOfProducts) {
  const auto changed = [](const std::function<void(Checkpoint&)>& change,
                          std::string_view recipe = kResMerge) {
    std::vector<Checkpoint> models = Models({4}, {4});
    change(models[1]);
    return RankIn(Must(recipe, models), kFirst, 1);
  };
  EXPECT_EQ(changed([](Checkpoint&) {}), 4u);
  EXPECT_EQ(changed([](Checkpoint& m) {
              m.tensors[0].update->magnitudes = Magnitudes{{1, 0, DType::kF32, kRows}, false};
            }),
            std::nullopt)
      << "DoRA";
  EXPECT_EQ(changed([](Checkpoint& m) { m.tensors[0].update->rounded_to = DType::kBF16; }),
            std::nullopt)
      << "rounded products";
  EXPECT_EQ(changed([](Checkpoint& m) { m.shards[0].info.identity = "another"; }), std::nullopt)
      << "weights";
  EXPECT_EQ(changed([](Checkpoint& m) { m.tensors[0].update->terms = {Term(kMostKnownRank + 1)}; }),
            std::nullopt)
      << "a high rank";
  EXPECT_EQ(changed([](Checkpoint& m) { m.tensors[0].update->terms = {Term(kMostKnownRank)}; }),
            kMostKnownRank);
  EXPECT_EQ(changed([](Checkpoint&) {}, kTaskArithmetic), std::nullopt) << "nobody asks";
}

// Of fused experts each leaf is a matrix of the products; else the product is of another shape.
TEST(KnownRank, OfMatricesThatAreLeaves) {
  PlannedTensor tensor;
  tensor.needs.takes_deltas = tensor.needs.takes_factors = true;
  tensor.needs.split = Split::kMatrices;
  tensor.spec.shape = {4, 6, 5};
  SetLeaves(tensor);
  PlannedSource source;
  source.delta = true;
  LowRankTerm term;
  term.rank = 3;
  term.matrices = 4;
  source.update = LowRankUpdate{{term}, {}};
  EXPECT_EQ(KnownRank(tensor, source), 3u);
  tensor.sources = {{}, source, source};
  const uint64_t one = FactorBytes(tensor, 1), both = FactorBytes(tensor, 2);
  EXPECT_GE(both - one, 2 * 3 * (6 + 5) * sizeof(double));
  source.update->terms[0].matrices = 1;  // [4, 30]
  EXPECT_EQ(KnownRank(tensor, source), std::nullopt);
  tensor.needs.split = Split::kElements;
  source.update->terms[0].matrices = 4;
  EXPECT_EQ(KnownRank(tensor, source), std::nullopt);
}

TEST(KnownRank, FactorsArePartOfTheMemory) {
  const auto memory = [](const std::vector<uint64_t>& ranks) {
    const Plan plan = Must(kResMerge, Models(ranks, {}));
    for (const Unit& unit : plan.units) {
      for (const Segment& segment : unit.segments) {
        if (!segment.header && plan.tensors[segment.tensor].spec.name == kFirst) {
          return segment.workspace;
        }
      }
    }
    return uint64_t{0};
  };
  const uint64_t none = memory({});
  EXPECT_GE(memory({4}), none + 4 * (kRows + kCols) * sizeof(double));
  EXPECT_GE(memory({4, 16}), none + 20 * (kRows + kCols) * sizeof(double));
}

TEST(KnownRank, DigestsKnowWhatProductsAreRoundedTo) {
  const auto digest = [](std::optional<DType> rounded) {
    std::vector<Checkpoint> models = Models({4}, {});
    models[1].tensors[0].update->rounded_to = rounded;
    return Must(kTaskArithmetic, models).digest;
  };
  EXPECT_NE(digest({}), digest(DType::kBF16));
  EXPECT_NE(digest(DType::kF16), digest(DType::kBF16));
}

TEST(KnownRank, RoundedToWhatHasMoreDigitsIsRefused) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kI16}) {
    std::vector<Checkpoint> models = Models({4}, {});
    models[1].tensors[0].update->rounded_to = dtype;
    const absl::StatusOr<Plan> plan = PlanOf(kTaskArithmetic, models);
    ASSERT_FALSE(plan.ok());
    EXPECT_THAT(std::string(plan.status().message()),
                HasSubstr("update.rounded_to: found " + std::string(DTypeName(dtype))));
  }
}

TEST(RankNotes, SayWhatIsLeftBehindTheHeads) {
  EXPECT_THAT(Must(kResMerge, Models({16}, {4, 4})).notes,
              Contains("resmerge: model a: 2 tensors with task vectors of rank 8 to 16: heads of "
                       "rank_topk 1 come from the adapter's factors, and residuals of rank 7 to 15 "
                       "are behind them"));
  EXPECT_THAT(Must(With(kResMerge, "parameters: {rank_topk: 4}"), Models({16}, {4})).notes,
              Contains(AllOf(HasSubstr("residuals of rank 12 are"),
                             HasSubstr("; 1 of these have no more directions than heads: no "
                                       "residual of them is left for the consensus"))));
  EXPECT_THAT(Must(kResMerge, Models({1}, {1})).notes,
              Contains("resmerge: model a: 2 tensors with task vectors of rank 1: heads of "
                       "rank_topk 1 come from the adapter's factors; all of these have no more "
                       "directions than heads: no residual of them is left for the consensus"));
  EXPECT_THAT(Must(kResMerge, Models({kMostKnownRank + 1}, {2})).notes,
              Contains(AllOf(HasSubstr("1 tensor with task vectors of rank 2"),
                             HasSubstr("; 1 tensor of a rank above 256, whose heads are searched "
                                       "for by passes"))));
  // A side bounds the rank.
  EXPECT_THAT(Must(kResMerge, Models({100}, {})).notes,
              Contains(HasSubstr("1 tensor with task vectors of rank 48")));
}

TEST(RankNotes, AreOfMethodsThatAskAlone) {
  EXPECT_THAT(RankNotes(Must(kTaskArithmetic, Models({1}, {1}))), IsEmpty());
  EXPECT_THAT(RankNotes(Must(kResMerge, FakeModels({{kFirst, DType::kBF16, {kRows, kCols}}}))),
              IsEmpty());
  EXPECT_THAT(Must(kResMerge, Models({2}, {2})).notes, Not(Contains(HasSubstr("model b"))));
}

}  // namespace
}  // namespace merganser
