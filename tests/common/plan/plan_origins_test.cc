// Sources that are decoded where they are read: what the plan makes of them, and what it costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/plan/digest.h"
#include "common/plan/layout.h"
#include "common/plan/origin_bytes.h"
#include "common/plan/requests.h"
#include "common/plan/validate.h"
#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kRank = 4;

std::vector<FakeTensor> Tensors() {
  return {{"a.q_proj.weight", DType::kBF16, {64, 48}},
          {"b.q_proj.weight", DType::kBF16, {64, 48}},
          {"norm.weight", DType::kBF16, {48}}};
}

// `base` under another name, with an adapter on its first tensor.
Checkpoint Adapted(const Checkpoint& base, const std::string& name) {
  Checkpoint model = base;
  model.given = name;
  model.places.push_back({"/adapters/" + name, name, base.store});
  CheckpointShard shard;
  shard.key = "adapter_model.safetensors";
  shard.info = {4096, name + " version 1"};
  shard.header_digest = name;
  shard.place = 1;
  model.shards.push_back(shard);
  LowRankTerm term;
  term.rank = kRank;
  term.scale = 2;
  term.row_factor = {{1, 100, DType::kF32, 64 * kRank}, 0, kRank, 1};
  term.column_factor = LowRankFactor{{1, 1124, DType::kF32, 48 * kRank}, 0, 1, 48};
  model.tensors[0].update = LowRankUpdate{{term}, {}};
  return model;
}

std::vector<Checkpoint> Models() {
  const Checkpoint base = FakeCheckpoint("base", Tensors());
  return {base, Adapted(base, "a"), Adapted(base, "b")};
}

Plan Must(std::string_view recipe, const std::vector<Checkpoint>& models) {
  absl::StatusOr<Plan> plan = PlanOf(recipe, models);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : Plan();
}

TEST(PlanOrigins, ExpertsOnTheBaseAreTaskVectorsWhereTheMethodTakesThem) {
  const Plan plan = Must(kTaskArithmetic, Models());
  EXPECT_EQ(plan.models[1].places, std::vector<std::string>{"/adapters/a"});
  EXPECT_EQ(plan.models[1].shards[1].place, 1u);
  const PlannedTensor& changed = TensorOf(plan, "a.q_proj.weight");
  ASSERT_EQ(changed.sources.size(), 3u);
  EXPECT_FALSE(changed.sources[0].delta);
  for (size_t s = 1; s < 3; ++s) {
    EXPECT_TRUE(changed.sources[s].delta);
    EXPECT_EQ(changed.sources[s].dtype, DType::kF32);
    EXPECT_EQ(changed.sources[s].added_to, DType::kBF16);
    EXPECT_TRUE(changed.sources[s].update.has_value());
    EXPECT_FALSE(ReadsValues(changed.sources[s]));
  }
  // What no adapter changes is a task vector of zeros.
  for (const char* name : {"b.q_proj.weight", "norm.weight"}) {
    const PlannedTensor& same = TensorOf(plan, name);
    EXPECT_TRUE(same.sources[1].delta && !same.sources[1].update.has_value()) << name;
  }
}

TEST(PlanOrigins, ElsewhereTheyAreWeights) {
  const std::string kSlerp =
      "merge_method: slerp\nbase_model: base\nmodels: [a]\nparameters: {t: 0.5}\n";
  std::vector<Checkpoint> models = Models();
  models.pop_back();
  for (const auto& [recipe, given] :
       {std::pair(std::string(kLinear), Models()), std::pair(kSlerp, models)}) {
    const Plan plan = Must(recipe, given);
    for (const PlannedTensor& tensor : plan.tensors) {
      for (const PlannedSource& source : tensor.sources) EXPECT_FALSE(source.delta);
    }
    const PlannedSource& source = TensorOf(plan, "a.q_proj.weight").sources[1];
    EXPECT_EQ(source.dtype, DType::kF32);
    EXPECT_EQ(source.added_to, DType::kBF16);
    EXPECT_EQ(TensorOf(plan, "b.q_proj.weight").sources[1].dtype, DType::kBF16);
  }
}

// An adapter on other weights than the base's is no task vector of the base.
TEST(PlanOrigins, AnAdapterOnAnotherModelIsWeights) {
  for (const char* what : {"identity", "offset", "folder", "dtype"}) {
    std::vector<Checkpoint> models = Models();
    Checkpoint& other = models[1];
    const std::string change = what;
    if (change == "identity") other.shards[0].info.identity = "version 2";
    if (change == "offset") std::swap(other.tensors[0].offset, other.tensors[1].offset);
    if (change == "folder") other.uri = "/elsewhere";
    if (change == "dtype") other.tensors[0].dtype = DType::kF16;
    const Plan plan = Must(kTaskArithmetic, models);
    EXPECT_FALSE(TensorOf(plan, "a.q_proj.weight").sources[1].delta) << what;
    EXPECT_TRUE(TensorOf(plan, "a.q_proj.weight").sources[2].delta) << what;
  }
}

// The base may have an adapter itself: then experts of its files alone are something else.
TEST(PlanOrigins, ABaseThatIsDecodedHasNoTaskVectors) {
  std::vector<Checkpoint> models = Models();
  models[0] = Adapted(models[0], "base");
  const Plan plan = Must(kTaskArithmetic, models);
  EXPECT_FALSE(TensorOf(plan, "a.q_proj.weight").sources[1].delta);
  EXPECT_TRUE(TensorOf(plan, "norm.weight").sources[1].delta);
}

// A recipe without adapters gives the plan that it always gave, even one that names a model twice.
TEST(PlanOrigins, PlainModelsAreReadAsTheyAlwaysWere) {
  const Checkpoint base = FakeCheckpoint("base", Tensors());
  Checkpoint again = base;
  again.given = "a";
  const Plan plan = Must(kTaskArithmetic, {base, again, FakeCheckpoint("b", Tensors())});
  for (const PlannedTensor& tensor : plan.tensors) {
    for (const PlannedSource& source : tensor.sources) {
      EXPECT_FALSE(IsDecoded(source));
      EXPECT_EQ(source.dtype, DType::kBF16);
    }
    EXPECT_EQ(SharedValues(plan, tensor, 1), std::nullopt);
  }
  EXPECT_EQ(plan.bytes_read, uint64_t{3 * (2 * 64 * 48 + 48) * 2});
}

TEST(PlanOrigins, ReadsTheBaseOnceAndTheAdapters) {
  const uint64_t base = (2 * 64 * 48 + 48) * 2, adapter = (64 + 48) * kRank * 4;
  EXPECT_EQ(Must(kTaskArithmetic, Models()).bytes_read, base + 2 * adapter);
  // As weights as well: the values that two experts share are copied.
  EXPECT_EQ(Must(kLinear, Models()).bytes_read, base + 2 * adapter);
  const Plan plan = Must(kTaskArithmetic, Models());
  // Two factors an adapter, and the base's three tensors.
  EXPECT_EQ(CountRequests(plan, {}).reads, 3u + 4u);
}

TEST(PlanOrigins, MemoryHoldsDecodedElementsAndWhatDecodingTakes) {
  const Plan plan = Must(kTaskArithmetic, Models());
  for (const Unit& unit : plan.units) {
    for (const Segment& segment : unit.segments) {
      if (segment.header) continue;
      const PlannedTensor& tensor = plan.tensors[segment.tensor];
      const uint64_t elements = SegmentElements(tensor, segment);
      EXPECT_GE(segment.memory, elements * (2 + 4 + 4 + 2) + segment.workspace);
      if (tensor.sources[1].update.has_value()) {
        EXPECT_GE(segment.workspace, (64 + 48) * kRank * 4u);
      }
    }
    EXPECT_LE(unit.memory, plan.peak_leaf_memory);
  }
}

// Lengths of columns take all rows, whatever the range.
TEST(PlanOrigins, MagnitudesOfColumnsReadTheWholeMatrix) {
  std::vector<Checkpoint> models = Models();
  models[1].tensors[0].update->magnitudes = Magnitudes{{1, 2000, DType::kF32, 48}, true};
  const Plan plan = Must(kTaskArithmetic, models);
  const PlannedTensor& tensor = TensorOf(plan, "a.q_proj.weight");
  EXPECT_TRUE(tensor.sources[1].delta);
  EXPECT_TRUE(ReadsValues(tensor.sources[1]));
  EXPECT_EQ(SharedValues(plan, tensor, 1), 0u);
  const uint64_t base = 10 * 2, lengths = 64 * 48 * 2 + 48 * 4;
  const uint64_t factors = (64 + 48) * kRank * 4;
  // Of the other adapter, the entries of one row and those from the first to the last of ten
  // columns.
  const uint64_t other = (kRank + (kRank - 1) * 48 + 10) * 4;
  EXPECT_EQ(CostOfReading(plan, tensor, 0, 10).read, base + lengths + factors + other);
}

TEST(PlanOrigins, DigestsKnowWhereElementsComeFrom) {
  const std::string digest = Must(kTaskArithmetic, Models()).digest;
  EXPECT_EQ(digest, Must(kTaskArithmetic, Models()).digest);
  const auto changed = [&](const std::function<void(Checkpoint&)>& change) {
    std::vector<Checkpoint> models = Models();
    change(models[1]);
    return Must(kTaskArithmetic, models).digest;
  };
  const auto term = [](Checkpoint& model) -> LowRankTerm& {
    return model.tensors[0].update->terms[0];
  };
  EXPECT_NE(digest, changed([](Checkpoint& m) { m.shards[1].info.identity = "version 2"; }));
  EXPECT_NE(digest, changed([](Checkpoint& m) { m.places[0].uri = "/elsewhere"; }));
  EXPECT_NE(digest, changed([&](Checkpoint& m) { term(m).scale = 1; }));
  EXPECT_NE(digest, changed([&](Checkpoint& m) { term(m).rank = 3; }));
  EXPECT_NE(digest, changed([&](Checkpoint& m) { term(m).row_factor.block.offset += 4; }));
  EXPECT_NE(digest, changed([&](Checkpoint& m) { term(m).column_factor.reset(); }));
  EXPECT_NE(digest, changed([](Checkpoint& m) { m.tensors[0].update.reset(); }));
  EXPECT_NE(digest, changed([](Checkpoint& m) {
              m.tensors[0].update->magnitudes = Magnitudes{{1, 2000, DType::kF32, 64}, false};
            }));
}

// What does not fit is refused where the plan is made, with the model and the tensor.
TEST(PlanOrigins, FactorsThatDoNotFitTheirTensor) {
  const std::vector<std::pair<std::function<void(LowRankUpdate&)>, std::string>> cases = {
      {[](LowRankUpdate& u) { u.terms.clear(); }, "update.terms: found 0"},
      {[](LowRankUpdate& u) { u.terms[0].rank = 0; }, "update.terms[0].rank: found 0"},
      {[](LowRankUpdate& u) { u.terms[0].row_factor.block.elements = 255; },
       "update.terms[0].row_factor.stride"},
      {[](LowRankUpdate& u) { u.terms[0].row_factor.block.offset = 1 << 20; },
       "update.terms[0].row_factor.block.offset"},
  };
  for (const auto& [change, wrong] : cases) {
    std::vector<Checkpoint> models = Models();
    change(*models[1].tensors[0].update);
    const absl::StatusOr<Plan> plan = PlanOf(kTaskArithmetic, models);
    ASSERT_FALSE(plan.ok()) << wrong;
    EXPECT_THAT(std::string(plan.status().message()),
                testing::AllOf(HasSubstr("tensor a.q_proj.weight of a, "), HasSubstr(wrong)));
  }
}

// --- Plans that lie

struct BadOrigin {
  const char* name;
  void (*change)(PlannedSource&);
  const char* field;
};

void PrintTo(const BadOrigin& bad, std::ostream* os) { *os << bad.name; }

class BadOrigins : public ::testing::TestWithParam<BadOrigin> {};

TEST_P(BadOrigins, AreRefusedWithTheirField) {
  Plan plan = Must(kTaskArithmetic, Models());
  ASSERT_TRUE(ValidatePlan(plan).ok());
  GetParam().change(plan.tensors[0].sources[1]);
  const absl::Status status = ValidatePlan(plan);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("plan.tensors[0].sources[1].", GetParam().field, ": ")));
}

LowRankTerm& Term(PlannedSource& source) { return source.update->terms[0]; }

INSTANTIATE_TEST_SUITE_P(
    Sources, BadOrigins,
    ::testing::Values(
        BadOrigin{"Shard", [](PlannedSource& s) { Term(s).row_factor.block.shard = 2; },
                  "update.terms[0].row_factor.block.shard"},
        BadOrigin{"BeyondItsFile", [](PlannedSource& s) { Term(s).row_factor.block.offset = 4000; },
                  "update.terms[0].row_factor.block.offset"},
        BadOrigin{"OffsetThatWraps",
                  [](PlannedSource& s) { Term(s).column_factor->block.offset = ~uint64_t{0} - 8; },
                  "update.terms[0].column_factor.block.offset"},
        BadOrigin{"TooManyElements",
                  [](PlannedSource& s) { Term(s).row_factor.block.elements = uint64_t{1} << 62; },
                  "update.terms[0].row_factor.block.elements"},
        BadOrigin{"NoElements", [](PlannedSource& s) { Term(s).row_factor.block.elements = 0; },
                  "update.terms[0].row_factor.block.elements"},
        BadOrigin{"Integers",
                  [](PlannedSource& s) { Term(s).row_factor.block.dtype = DType::kI32; },
                  "update.terms[0].row_factor.block.dtype"},
        BadOrigin{"StrideBeyondTheBlock", [](PlannedSource& s) { Term(s).row_factor.stride = 5; },
                  "update.terms[0].row_factor.stride"},
        BadOrigin{"StrideThatWraps",
                  [](PlannedSource& s) { Term(s).row_factor.stride = uint64_t{1} << 63; },
                  "update.terms[0].row_factor.stride"},
        BadOrigin{"RankZero", [](PlannedSource& s) { Term(s).rank = 0; }, "update.terms[0].rank"},
        BadOrigin{"RankBeyondAll", [](PlannedSource& s) { Term(s).rank = uint64_t{1} << 40; },
                  "update.terms[0].rank"},
        BadOrigin{"Matrices", [](PlannedSource& s) { Term(s).matrices = 2; },
                  "update.terms[0].matrices"},
        BadOrigin{"NoMatrices", [](PlannedSource& s) { Term(s).matrices = 0; },
                  "update.terms[0].matrices"},
        BadOrigin{"Scale", [](PlannedSource& s) { Term(s).scale = 1 / 0.0; },
                  "update.terms[0].scale"},
        BadOrigin{"NoTerms", [](PlannedSource& s) { s.update->terms.clear(); }, "update.terms"},
        BadOrigin{"Magnitudes",
                  [](PlannedSource& s) {
                    s.update->magnitudes = Magnitudes{{1, 100, DType::kF32, 63}, false};
                  },
                  "update.magnitudes.magnitude.elements"},
        BadOrigin{"ValuesBeyondTheirFile",
                  [](PlannedSource& s) {
                    s.update->magnitudes = Magnitudes{{1, 100, DType::kF32, 64}, false};
                    s.offset = uint64_t{1} << 40;
                  },
                  "offset"},
        BadOrigin{"DType", [](PlannedSource& s) { s.dtype = DType::kBF16; }, "dtype"},
        BadOrigin{"AddedToNothing", [](PlannedSource& s) { s.added_to.reset(); }, "added_to"},
        BadOrigin{"AddedToIntegers", [](PlannedSource& s) { s.added_to = DType::kI8; }, "added_to"},
        BadOrigin{"CodedWithoutScales", [](PlannedSource& s) { s.coded = DType::kF8E4M3; },
                  "coded"},
        BadOrigin{"ScalesOfWhatIsNotRead",
                  [](PlannedSource& s) {
                    s.scales = BlockScales{};
                    s.coded = DType::kF8E4M3;
                  },
                  "scales"},
        BadOrigin{"UpdateOfParts",
                  [](PlannedSource& s) {
                    s.parts = {{64 * 48, {}}};
                  },
                  "parts"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(PlanOrigins, HostileTaskVectorsAndPlaces) {
  const Plan plan = Must(kTaskArithmetic, Models());
  const auto refused = [&](const std::function<void(Plan&)>& change, const std::string& with) {
    Plan bad = plan;
    change(bad);
    EXPECT_THAT(std::string(ValidatePlan(bad).message()), HasSubstr(with));
  };
  refused([](Plan& p) { p.tensors[0].sources[0].delta = true; }, "sources[0].delta");
  refused([](Plan& p) { p.tensors[0].needs.takes_deltas = false; }, "sources[1].delta");
  refused([](Plan& p) { p.models[1].shards[1].place = 2; }, "plan.models[1].shards[1].place");
  refused([](Plan& p) { p.tensors[1].sources[1].dtype = DType::kBF16; }, "sources[1].dtype");
  // Then less is read than the units say.
  refused([](Plan& p) { p.tensors[0].sources[1].update->terms[0].rank = 3; }, "plan.units");
}

TEST(PlanOrigins, HostileScales) {
  Plan plan = Must(kTaskArithmetic, Models());
  PlannedSource& source = plan.tensors[0].sources[0];
  const BlockScales good{BlockCode::kScaled, {0, 8, DType::kF32, 4}, 32, 24, false};
  const auto refused = [&](const std::function<void(PlannedSource&)>& change,
                           const std::string& with) {
    source.scales = good;
    source.coded = DType::kF8E4M3;
    change(source);
    EXPECT_THAT(std::string(ValidatePlan(plan).message()), HasSubstr(with));
  };
  refused([](PlannedSource& s) { s.scales->block_rows = 0; }, "scales.block_rows");
  refused([](PlannedSource& s) { s.scales->block_cols = 23; }, "scales.scales.elements");
  refused([](PlannedSource& s) { s.scales->scales.shard = 7; }, "scales.scales.shard");
  refused([](PlannedSource& s) { s.scales->scales.offset = 1 << 20; }, "scales.scales.offset");
  refused([](PlannedSource& s) { s.scales->code = BlockCode::kMxfp4; }, "coded");
  refused([](PlannedSource& s) { s.coded = DType::kBF16; }, "coded");
  refused([](PlannedSource& s) { s.coded.reset(); }, "coded");
}

}  // namespace
}  // namespace merganser
