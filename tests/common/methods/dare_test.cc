#include "common/methods/dare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/linalg/random_mask.h"
#include "tests/common/methods/gta_reference.h"

namespace merganser {
namespace {

using testing::ElementsAre;

constexpr uint64_t kSeed = 4417;

Kept RandomlyKept(uint64_t seed, uint64_t model, const MethodRun& run, double density) {
  const RandomMask random(seed, model, run.name);
  Kept kept(run.base.size());
  for (size_t e = 0; e < kept.size(); ++e) kept[e] = random.Keeps(e, density);
  return kept;
}

TEST(DareTest, AtFullDensityIsTheSum) {
  MethodRun run;
  run.base = {1, 1};
  run.experts = {{2, 0}, {3, 3}};
  EXPECT_THAT(RunMethod(*MethodNamed("dare_linear", 2), run)->values, ElementsAre(4, 2));
  EXPECT_THAT(RunMethod(*MethodNamed("dare_ties", 2), run)->values, ElementsAre(4, 3));
  EXPECT_THAT(RunMethod(*MethodNamed("dare_linear", 2, "normalize: true, weight: 3"), run)->values,
              ElementsAre(2.5, 1.5));
}

TEST(DareTest, AtNoDensityIsTheBase) {
  MethodRun run = RandomRun(500, 1, kSeed);
  EXPECT_EQ(RunMethod(*MethodNamed("dare_linear", 1, "density: 0"), run)->values, run.base);
  EXPECT_EQ(RunMethod(*MethodNamed("dare_ties", 1, "density: 0"), run)->values, run.base);
}

TEST(DareTest, AgreesWithAPlainEvaluation) {
  for (const size_t size : {size_t{1}, size_t{1027}, size_t{70'003}}) {
    for (const bool consensus : {false, true}) {
      for (const bool rescale : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << size << ", consensus " << consensus << ", rescale " << rescale);
        const MethodRun run = RandomRun(size, 2, kSeed);
        ReferenceGta reference;
        reference.consensus = consensus;
        reference.rescale = rescale;
        reference.lambda = 0.5;
        reference.weights = {0.6, 0.6};
        for (size_t i = 0; i < 2; ++i) reference.kept.push_back(RandomlyKept(11, i, run, 0.3));
        const auto method =
            MethodNamed(consensus ? "dare_ties" : "dare_linear", 2,
                        absl::StrCat("weight: 0.6, density: 0.3, lambda: 0.5, seed: 11, rescale: ",
                                     rescale ? "true" : "false"));
        ExpectMerges(*method, run, Evaluate(reference, run.base, run.experts), !rescale);
      }
    }
  }
}

TEST(DareTest, NeedsARoundOnlyToRescale) {
  const TensorSpec spec{"t", {64, 64}};
  EXPECT_EQ(MethodNamed("dare_linear", 2)->Needs(spec)->rounds, 0);
  EXPECT_EQ(MethodNamed("dare_linear", 2, "density: 0.5, rescale: false")->Needs(spec)->rounds, 0);
  const auto rescaled = MethodNamed("dare_linear", 2, "density: 0.5")->Needs(spec);
  EXPECT_EQ(rescaled->rounds, 1);
  EXPECT_EQ(rescaled->group, "t");
  EXPECT_EQ(rescaled->workspace_bytes, 0u);
}

// Of equal task vectors, the mean of what is kept and rescaled is the task vector.
TEST(DareTest, KeepsTheSumAndTheShare) {
  constexpr size_t kSize = 200'000;
  MethodRun run;
  run.base.assign(kSize, 0.0);
  run.experts.assign(1, Numbers(kSize, 1.0));
  const Numbers merged = RunMethod(*MethodNamed("dare_linear", 1, "density: 0.25"), run)->values;
  double kept = 0, sum = 0;
  for (const double x : merged) {
    kept += x != 0;
    sum += x;
  }
  EXPECT_NEAR(kept, 0.25 * kSize, 5 * std::sqrt(kSize * 0.25 * 0.75));
  EXPECT_NEAR(sum, kSize, 1e-6 * kSize);
}

TEST(DareTest, MasksDifferBySeedTensorAndModel) {
  constexpr size_t kSize = 10'000;
  MethodRun run;
  run.base.assign(kSize, 0.0);
  run.experts.assign(2, Numbers(kSize, 1.0));
  const auto merge = [&](const std::string& seed) {
    return RunMethod(*MethodNamed("dare_linear", 2, "density: 0.5, rescale: false" + seed), run)
        ->values;
  };
  const Numbers zero = merge(""), one = merge(", seed: 1");
  EXPECT_EQ(zero, merge(", seed: 0"));
  EXPECT_NE(zero, one);
  // Both models of one mask would make every element 0 or 2.
  EXPECT_NEAR(static_cast<double>(std::count(zero.begin(), zero.end(), 1.0)), kSize / 2.0,
              5 * std::sqrt(kSize / 4.0));
  run.name = "model.layers.1.mlp.up_proj.weight";
  EXPECT_NE(zero, merge(""));
}

TEST(DareTest, KeepsTheBaseWhereNothingChanged) {
  ExpectKeepsTheBase(*MethodNamed("dare_linear", 2, "density: 0.5"), 2);
  ExpectKeepsTheBase(*MethodNamed("dare_ties", 2, "density: 0.5, normalize: true"), 2);
}

TEST(DareTest, NormsThatOverflowAreNotMerged) {
  MethodRun run;
  run.base.assign(64, 0.0);
  run.experts.assign(1, Numbers(64, 1e308));
  const auto merged = RunMethod(*MethodNamed("dare_linear", 1, "density: 0.5"), run);
  EXPECT_EQ(merged.status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace merganser
