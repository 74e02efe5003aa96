#include "common/methods/della.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/linalg/random_mask.h"
#include "common/recipe/recipe.h"
#include "tests/common/methods/gta_reference.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kSeed = 1206;

Kept DellaKept(uint64_t seed, uint64_t model, const MethodRun& run, double density,
               double epsilon) {
  const size_t size = run.base.size();
  const size_t cols = run.shape.size() < 2 ? size : run.shape.back();
  const RandomMask random(seed, model, run.name);
  Kept kept(size);
  for (size_t row = 0; row < size; row += cols) {
    std::vector<size_t> order(cols);
    std::iota(order.begin(), order.end(), row);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return static_cast<float>(std::abs(run.experts[model][a] - run.base[a])) <
             static_cast<float>(std::abs(run.experts[model][b] - run.base[b]));
    });
    for (size_t r = 0; r < cols; ++r) {
      const double norm = cols == 1 ? 0 : static_cast<double>(r) / static_cast<double>(cols - 1);
      kept[order[r]] = random.Keeps(order[r], (density - epsilon) + 2 * epsilon * norm);
    }
  }
  return kept;
}

TEST(DellaTest, AgreesWithAPlainEvaluation) {
  for (const Shape& shape : {Shape{1}, Shape{1000}, Shape{70'001}, Shape{40, 1}, Shape{30, 77},
                             Shape{3, 5, 200}, Shape{35, 2000}}) {
    const size_t size = std::accumulate(shape.begin(), shape.end(), size_t{1}, std::multiplies<>());
    for (const bool tied : {false, true}) {
      for (const bool consensus : {false, true}) {
        SCOPED_TRACE(testing::Message() << testing::PrintToString(shape) << ", tied " << tied
                                        << ", consensus " << consensus);
        MethodRun run = tied ? TiedRun(size, 2, kSeed) : RandomRun(size, 2, kSeed);
        run.shape = shape;
        for (const bool rescale : {false, true}) {
          ReferenceGta reference;
          reference.consensus = reference.normalize = consensus;
          reference.rescale = rescale;
          reference.weights = {1, 1};
          for (size_t i = 0; i < 2; ++i) reference.kept.push_back(DellaKept(5, i, run, 0.4, 0.3));
          const auto method =
              MethodNamed(consensus ? "della" : "della_linear", 2,
                          absl::StrCat("density: 0.4, epsilon: 0.3, seed: 5, rescale: ",
                                       rescale ? "true" : "false"));
          ExpectMerges(*method, run, Evaluate(reference, run.base, run.experts), !rescale);
        }
      }
    }
  }
}

TEST(DellaTest, ATensorWithoutDimensionsIsOneRow) {
  const TensorSpec spec{"scale", {}};
  const auto needs = MethodNamed("della", 1, "density: 0.5")->Needs(spec);
  ASSERT_TRUE(needs.ok()) << needs.status();
  EXPECT_EQ(needs->split, Split::kRows);
  EXPECT_GT(needs->workspace_bytes, 0u);
}

TEST(DellaTest, NeedsNoRowsAtFullDensity) {
  const auto needs = MethodNamed("della", 2)->Needs({"t", {8, 8}});
  EXPECT_EQ(needs->split, Split::kElements);
  EXPECT_EQ(needs->rounds, 0);
  MethodRun run;
  run.base = {1, 1};
  run.experts = {{2, 0}, {3, 3}};
  EXPECT_THAT(RunMethod(*MethodNamed("della", 2), run)->values, ElementsAre(2.5, 3));
  EXPECT_THAT(RunMethod(*MethodNamed("della_linear", 2), run)->values, ElementsAre(4, 2));
}

TEST(DellaTest, AtNoDensityIsTheBase) {
  MethodRun run = RandomRun(500, 2, kSeed);
  EXPECT_EQ(RunMethod(*MethodNamed("della", 2, "density: 0"), run)->values, run.base);
}

TEST(DellaTest, LargerElementsAreMoreLikelyToBeKept) {
  constexpr size_t kRows = 2000, kCols = 101;
  MethodRun run;
  run.shape = {kRows, kCols};
  run.base.assign(kRows * kCols, 0.0);
  run.experts.assign(1, Numbers(kRows * kCols));
  for (size_t e = 0; e < kRows * kCols; ++e) run.experts[0][e] = static_cast<double>(e % kCols) + 1;
  const Numbers merged =
      RunMethod(*MethodNamed("della", 1, "density: 0.5, epsilon: 0.4, rescale: false"), run)
          ->values;
  for (const size_t col : {size_t{0}, size_t{50}, size_t{100}}) {
    double kept = 0;
    for (size_t row = 0; row < kRows; ++row) kept += merged[row * kCols + col] != 0;
    const double p = 0.1 + 0.8 * static_cast<double>(col) / 100;
    EXPECT_NEAR(kept, kRows * p, 5 * std::sqrt(kRows * p * (1 - p))) << col;
  }
}

TEST(DellaTest, ProbabilitiesBeyondZeroOrOneAreAnErrorOfTheRecipe) {
  const auto resolve = [](const std::string& parameters) {
    const auto recipe = ParseRecipe(RecipeNamed(*FindMethod("della"), 2, parameters), "r.yaml");
    return ResolveMethod(*recipe, [](const std::string& model) { return model; }).status();
  };
  for (const char* bad :
       {"density: 0.9", "density: 0.1", "density: 0.15", "density: 0.5, epsilon: 0.5"}) {
    const absl::Status status = resolve(bad);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("r.yaml"), HasSubstr("model 1"),
                                                     HasSubstr("density"), HasSubstr("epsilon")));
  }
  for (const char* good :
       {"density: 1", "density: 0", "density: 0.84", "density: 0.5, epsilon: 0"}) {
    EXPECT_TRUE(resolve(good).ok()) << resolve(good);
  }
}

TEST(DellaTest, KeepsTheBaseWhereNothingChanged) {
  ExpectKeepsTheBase(*MethodNamed("della", 2, "density: 0.5"), 2);
  ExpectKeepsTheBase(*MethodNamed("della_linear", 2, "density: 0.5"), 2);
}

}  // namespace
}  // namespace merganser
