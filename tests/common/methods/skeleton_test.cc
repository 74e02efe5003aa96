// The method to copy, and with it the tests to copy: a reference that shares no
// code with it, known answers, degenerate inputs, every cut and number of threads.
#include "common/methods/skeleton.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/common/methods/run_method.h"
#include "tests/common/methods/vectors.h"

namespace merganser {
namespace {

constexpr uint64_t kSeed = 1;

MethodRun RunOf(const Models& models) {
  MethodRun run;
  run.base = models.base;
  run.experts = models.experts;
  return run;
}

Vector Merged(const MergeMethod& method, const MethodRun& run) {
  const absl::StatusOr<MethodResult> result = RunMethod(method, run);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->values : Vector();
}

// The header's formula, word by word.
Vector Reference(const Models& models, const std::vector<double>& weights, double strength) {
  Vector mean(models.base.size());
  double norms = 0, sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const Vector delta = Minus(models.experts[i], models.base);
    mean = Sum(1, mean, weights[i], delta);
    norms += Norm(delta);
    sum += weights[i];
  }
  mean = Times(1 / sum, mean);
  const double scale = norms / static_cast<double>(weights.size()) / Norm(mean);
  return Sum(1, models.base, strength * scale, mean);
}

TEST(SkeletonTest, IsItsFormulaWholeAndInLeaves) {
  for (const size_t size : {1, 15, 17, 1000, 70'001}) {
    const Models models = MakeModels(size, 3, kSeed + size);
    const std::vector<double> weights = {1, 0.5, 2};
    const auto method = MakeSkeleton(weights, 0.7);
    for (const uint64_t leaf : {kLeafElements, uint64_t{16}, uint64_t{4096}}) {
      MethodRun run = RunOf(models);
      run.leaf_elements = leaf;
      ExpectNear(Merged(*method, run), Reference(models, weights, 0.7));
    }
  }
}

TEST(SkeletonTest, KnownAnswer) {
  // Norms 3 and 5 at a right angle: the mean has norm sqrt(34) / 2.
  const Models models{{1, 1}, {{4, 1}, {1, 6}}};
  const double scale = 4 / (std::sqrt(34.0) / 2);
  ExpectNear(Merged(*MakeSkeleton({1, 1}, 1), RunOf(models)), {1 + 1.5 * scale, 1 + 2.5 * scale});
}

TEST(SkeletonTest, DegenerateInputs) {
  const Vector base = {1, 2, 3}, expert = {2, 0, 5};
  ExpectNear(Merged(*MakeSkeleton({1, 1}, 1), RunOf({base, {expert, expert}})), expert);
  EXPECT_EQ(Merged(*MakeSkeleton({1, 1}, 1), RunOf({base, {base, base}})), base);
  const Vector opposite = Minus(Times(2, base), expert);
  EXPECT_EQ(Merged(*MakeSkeleton({1, 1}, 1), RunOf({base, {expert, opposite}})), base);
}

TEST(SkeletonTest, TheSameBytesFromAnyNumberOfThreads) {
  MethodRun run = RunOf(MakeModels(300'001, 2, kSeed));
  run.in = run.out = DType::kBF16;
  const absl::StatusOr<MethodResult> one = RunMethod(*MakeSkeleton({1, 1}, 1), run);
  run.helpers = 3;
  const absl::StatusOr<MethodResult> four = RunMethod(*MakeSkeleton({1, 1}, 1), run);
  ASSERT_TRUE(one.ok() && four.ok());
  EXPECT_EQ(one->bytes, four->bytes);
}

TEST(SkeletonTest, IsMadeFromAConfigAndRefusesWhatItMust) {
  const MethodInfo info = SkeletonMethod();
  MethodConfig config;
  config.method = "skeleton";
  config.numbers = {{"strength", 1}};
  config.per_model = {{{"weight", 1}}, {{"weight", 1}}};
  ASSERT_TRUE(info.make(config).ok());
  EXPECT_EQ((*info.make(config))->name(), info.name);
  config.per_model[1]["weight"] = -1;
  EXPECT_THAT(std::string(info.make(config).status().message()), testing::HasSubstr("sum to 0"));
  config.numbers.clear();
  EXPECT_THAT(std::string(info.make(config).status().message()), testing::HasSubstr("strength"));
}

}  // namespace
}  // namespace merganser
