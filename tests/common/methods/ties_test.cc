#include "common/methods/ties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/common/methods/gta_reference.h"

namespace merganser {
namespace {

using testing::ElementsAre;

constexpr uint64_t kSeed = 2206;

Numbers Merge(const std::string& parameters, const Numbers& base,
              const std::vector<Numbers>& experts) {
  MethodRun run;
  run.base = base;
  run.experts = experts;
  const auto method = MethodNamed("ties", experts.size(), parameters);
  const auto result = RunMethod(*method, run);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->values : Numbers();
}

TEST(TiesTest, ByHand) {
  const Numbers base = {1, 1, 1, 1, 1};
  const std::vector<Numbers> experts = {{5, 2, -2, 1, 1}, {3, -1, 0, 1, 2}};  // d: 4 1 -3 0 0
                                                                              //    2 -2 -1 0 1
  // Means over those of the majority's sign; a sum of 0 would be +, a 0 never counts.
  EXPECT_THAT(Merge("", base, experts), ElementsAre(4, -1, -1, 1, 2));
  // Two of five are kept: 4 and -3; 2 and -2.
  EXPECT_THAT(Merge("density: 0.4", base, experts), ElementsAre(4, -1, -2, 1, 1));
  EXPECT_THAT(Merge("density: 0.4, normalize: false", base, experts), ElementsAre(7, -1, -2, 1, 1));
  EXPECT_THAT(Merge("density: 0.4, normalize: false, lambda: 0.5", base, experts),
              ElementsAre(4, 0, -0.5, 1, 1));
  // L1 norms 8 of 7, and 6 of 4.
  const Numbers scaled = Merge("density: 0.4, rescale: true", base, experts);
  EXPECT_DOUBLE_EQ(scaled[0], 1 + (4 * 8 / 7.0 + 2 * 6 / 4.0) / 2);
  EXPECT_DOUBLE_EQ(scaled[1], 1 - 2 * 6 / 4.0);
  EXPECT_DOUBLE_EQ(scaled[2], 1 - 3 * 8 / 7.0);
}

TEST(TiesTest, TheMajorityOfNothingIsPlus) {
  EXPECT_THAT(Merge("normalize: false", {0, 0}, {{2, -3}, {-2, 3}}), ElementsAre(2, 3));
}

TEST(TiesTest, OfEqualMagnitudesTheFirstAreKept) {
  EXPECT_THAT(Merge("density: 0.5", {0, 0, 0, 0, 0, 0}, {{1, -1, 1, 2, 1, 1}}),
              ElementsAre(1, -1, 0, 2, 0, 0));
}

TEST(TiesTest, KeepsAtLeastOneElement) {
  EXPECT_THAT(Merge("density: 0.01", {0, 0, 0}, {{1, -3, 2}}), ElementsAre(0, -3, 0));
  EXPECT_THAT(Merge("density: 0.5", {0}, {{4}}), ElementsAre(4));
}

TEST(TiesTest, MagnitudesAreRankedAsFloat32) {
  // Equal in float32 though not in float64: the first is kept.
  EXPECT_THAT(Merge("density: 0.5", {0, 0}, {{1, 1 + 1e-12}}), ElementsAre(1, 0));
}

TEST(TiesTest, ANegativeWeightTurnsTheVote) {
  const std::string recipe =
      "merge_method: ties\nbase_model: base\nmodels:\n- {model: a, parameters: {weight: 2}}\n"
      "- {model: b, parameters: {weight: -1}}\n";
  MethodRun run;
  run.base = {0, 0};
  run.experts = {{1, 1}, {-1, 1}};
  // Votes 2 and 1 agree: 3 / (2 - 1). Votes 2 and -1 do not: 2 / 2.
  const auto result = RunMethod(*MethodFromRecipe(recipe), run);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->values, ElementsAre(3, 1));
}

TEST(TiesTest, AgreesWithAPlainEvaluation) {
  for (const size_t size : {size_t{1}, size_t{17}, size_t{1023}, size_t{5001}, size_t{70'003}}) {
    for (const bool tied : {false, true}) {
      for (const bool rescale : {false, true}) {
        SCOPED_TRACE(testing::Message() << "tied " << tied << ", rescale " << rescale);
        const MethodRun run = tied ? TiedRun(size, 3, kSeed) : RandomRun(size, 3, kSeed);
        ReferenceGta reference;
        reference.consensus = reference.normalize = true;
        reference.rescale = rescale;
        reference.weights = {1, 1, 1};
        const auto k = static_cast<size_t>(std::max(1.0, std::floor(0.3 * size)));
        for (const Numbers& expert : run.experts) {
          reference.kept.push_back(KeptRanks(run.base, expert, 0, k));
        }
        const auto method = MethodNamed(
            "ties", 3, absl::StrCat("density: 0.3, rescale: ", rescale ? "true" : "false"));
        ExpectMerges(*method, run, Evaluate(reference, run.base, run.experts), !rescale);
      }
    }
  }
}

TEST(TiesTest, EveryModelHasItsDensityAndWeight) {
  const std::string recipe =
      "merge_method: ties\nbase_model: base\nmodels:\n"
      "- {model: a, parameters: {weight: 0.5, density: 0.9}}\n"
      "- {model: b, parameters: {density: 0.05}}\n"
      "- {model: c, parameters: {weight: 0}}\n"
      "- {model: d, parameters: {weight: -0.3, density: 1}}\n";
  for (const MethodRun& run : {RandomRun(9000, 3, kSeed), TiedRun(9000, 3, kSeed)}) {
    ReferenceGta reference;
    reference.consensus = reference.normalize = true;
    reference.weights = {0.5, 1, -0.3};
    reference.kept = {KeptRanks(run.base, run.experts[0], 0, 8100),
                      KeptRanks(run.base, run.experts[1], 0, 450), Kept()};
    ExpectMerges(*MethodFromRecipe(recipe), run, Evaluate(reference, run.base, run.experts), true);
  }
}

// A third round is needed where ties are cut in several leaves, and only there.
TEST(TiesTest, RoundsEndWhenTheMaskIsKnown) {
  const auto method = MethodNamed("ties", 1, "density: 0.5");
  MethodRun run;
  run.base.assign(1000, 0.0);
  run.experts.assign(1, Numbers(1000, 0.5));
  run.leaf_elements = 100;
  EXPECT_EQ(RunMethod(*method, run)->rounds, 3);
  run.leaf_elements = 1000;
  EXPECT_EQ(RunMethod(*method, run)->rounds, 2);
  for (size_t e = 0; e < 1000; ++e) run.experts[0][e] = static_cast<double>(e);
  run.leaf_elements = 100;
  EXPECT_EQ(RunMethod(*method, run)->rounds, 2);
  EXPECT_EQ(RunMethod(*MethodNamed("ties", 1, "density: 0.5, rescale: true"), run)->rounds, 3);
  EXPECT_EQ(RunMethod(*MethodNamed("ties", 1), run)->rounds, 0);
}

TEST(TiesTest, DeclaresWhatItNeeds) {
  const TensorSpec spec{"t", {3000, 3000}};
  const auto all = MethodNamed("ties", 4)->Needs(spec);
  EXPECT_EQ(all->rounds, 0);
  EXPECT_EQ(all->group, "");
  EXPECT_EQ(all->workspace_bytes, 0u);
  const auto some = MethodNamed("ties", 4, "density: 0.2")->Needs(spec);
  EXPECT_EQ(some->group, "t");
  EXPECT_EQ(some->split, Split::kElements);
  EXPECT_EQ(some->mode, "ties");
  EXPECT_GE(some->retained_bytes, 4u * 65536 * 16);
  EXPECT_GT(some->workspace_bytes, some->retained_bytes);
}

TEST(TiesTest, KeepsTheBaseWhereNothingChanged) {
  ExpectKeepsTheBase(*MethodNamed("ties", 2), 2);
  ExpectKeepsTheBase(*MethodNamed("ties", 2, "density: 0.5, rescale: true"), 2);
}

TEST(TiesTest, WorksInBfloat16) {
  MethodRun run = RandomRun(5000, 2, kSeed);
  run.in = DType::kBF16;
  const Numbers base = RoundTo(DType::kBF16, run.base);
  std::vector<Numbers> experts;
  ReferenceGta reference;
  reference.consensus = reference.normalize = true;
  reference.weights = {1, 1};
  for (const Numbers& expert : run.experts) {
    experts.push_back(RoundTo(DType::kBF16, expert));
    reference.kept.push_back(KeptRanks(base, experts.back(), 0, 1000));
  }
  ExpectMerges(*MethodNamed("ties", 2, "density: 0.2"), run, Evaluate(reference, base, experts),
               true);
}

TEST(TiesTest, RefusesWhatCannotBe) {
  const auto method = MethodNamed("ties", 1, "density: 0.5");
  MethodRun run;
  run.base = {0, 0};
  run.experts = {{3e38, 3e38}};
  run.out = DType::kF16;
  EXPECT_EQ(RunMethod(*method, run).status().code(), absl::StatusCode::kOutOfRange);
  SerialExecutor executor;
  ReportFields report;
  TensorNeeds needs = *method->Needs({"t", {2}});
  EXPECT_EQ(method->Reduce(needs, 0, {{7, 1}, false}, {}, report).status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(method->Reduce(needs, 0, {}, {{}, {}, 2}, report).status().code(),
            absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace merganser
