#include "common/methods/sce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/common/methods/gta_reference.h"

namespace merganser {
namespace {

using testing::ElementsAre;

constexpr uint64_t kSeed = 2408;

Numbers EvaluateSce(const MethodRun& run, double select) {
  const size_t n = run.base.size(), models = run.experts.size();
  const auto count = static_cast<double>(models);
  std::vector<Numbers> d(models, Numbers(n));
  for (size_t i = 0; i < models; ++i) {
    for (size_t e = 0; e < n; ++e) d[i][e] = run.experts[i][e] - run.base[e];
  }
  if (select < 1) {
    std::vector<float> variance(n);
    for (size_t e = 0; e < n; ++e) {
      double mean = 0, sum = 0;
      for (const Numbers& one : d) mean += one[e];
      mean /= count;
      for (const Numbers& one : d) sum += (one[e] - mean) * (one[e] - mean);
      variance[e] = static_cast<float>(sum / count);
    }
    const auto nonzero =
        n - static_cast<size_t>(std::count(variance.begin(), variance.end(), 0.0F));
    const auto k = static_cast<size_t>(std::floor(static_cast<double>(nonzero) * select));
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return variance[a] > variance[b]; });
    for (size_t r = k; r < n; ++r) {
      for (Numbers& one : d) one[order[r]] = 0;
    }
  }
  Numbers q(models);
  double total = 0;
  for (size_t i = 0; i < models; ++i) {
    for (const double x : d[i]) q[i] += x * x;
    q[i] /= static_cast<double>(n);
    total += q[i];
  }
  for (double& x : q) x = std::abs(total) < 1e-6 ? 1 / count : x / total;
  Numbers out = run.base;
  for (size_t e = 0; e < n; ++e) {
    double votes = 0, sum = 0, weight = 0;
    for (const Numbers& one : d) votes += one[e];
    for (size_t i = 0; i < models; ++i) {
      if (votes >= 0 ? d[i][e] > 0 : d[i][e] < 0) {
        sum += q[i] * d[i][e];
        weight += q[i];
      }
    }
    out[e] += sum / std::max(weight, 1e-6);
  }
  return out;
}

TEST(SceTest, ByHand) {
  MethodRun run;
  run.base = {0, 0, 1};
  run.experts = {{1, 3, 1}, {3, -1, 1}};
  // Squares 10 and 10: equal weights.
  EXPECT_THAT(RunMethod(*MethodNamed("sce", 2), run)->values, ElementsAre(2, 3, 1));
  // Variances 1, 4, 0: one of the two that are not 0, the larger. Squares 9 and 1.
  EXPECT_THAT(RunMethod(*MethodNamed("sce", 2, "select_topk: 0.5"), run)->values,
              ElementsAre(0, 3, 1));
  EXPECT_THAT(RunMethod(*MethodNamed("sce", 2, "select_topk: 0.4"), run)->values,
              ElementsAre(0, 0, 1));
  EXPECT_THAT(RunMethod(*MethodNamed("sce", 2, "select_topk: 0"), run)->values,
              ElementsAre(0, 0, 1));
}

TEST(SceTest, WeighsByEnergy) {
  MethodRun run;
  run.base = {0, 0};
  run.experts = {{1, 1}, {3, 3}};
  // 0.1 * 1 + 0.9 * 3.
  const Numbers merged = RunMethod(*MethodNamed("sce", 2), run)->values;
  for (const double x : merged) EXPECT_NEAR(x, 2.8, 1e-15);
}

TEST(SceTest, ATensorWithoutEnergyHasEqualWeights) {
  MethodRun run;
  run.base = {0, 0};
  run.experts = {{1e-4, 1e-4}, {3e-4, 3e-4}};
  const Numbers merged = RunMethod(*MethodNamed("sce", 2), run)->values;
  for (const double x : merged) EXPECT_NEAR(x, 2e-4, 1e-18);
}

TEST(SceTest, AgreesWithAPlainEvaluation) {
  for (const size_t size : {size_t{1}, size_t{33}, size_t{2049}, size_t{70'003}}) {
    for (const size_t models : {size_t{1}, size_t{2}, size_t{5}}) {
      for (const bool tied : {false, true}) {
        for (const double select : {1.0, 0.7, 0.1}) {
          SCOPED_TRACE(testing::Message() << models << " models, tied " << tied << ", " << select);
          const MethodRun run =
              tied ? TiedRun(size, models, kSeed) : RandomRun(size, models, kSeed);
          const auto method = MethodNamed("sce", models, absl::StrCat("select_topk: ", select));
          ExpectMerges(*method, run, EvaluateSce(run, select), false);
        }
      }
    }
  }
}

TEST(SceTest, DeclaresWhatItNeeds) {
  const TensorSpec spec{"t", {3000, 3000}};
  EXPECT_EQ(MethodNamed("sce", 2)->Needs(spec)->rounds, 1);
  const auto some = MethodNamed("sce", 2, "select_topk: 0.5")->Needs(spec);
  EXPECT_EQ(some->rounds, 4);
  EXPECT_EQ(some->group, "t");
  EXPECT_GE(some->retained_bytes, 65536u * 16);
}

TEST(SceTest, KeepsTheBaseWhereNothingChanged) {
  ExpectKeepsTheBase(*MethodNamed("sce", 3), 3);
  ExpectKeepsTheBase(*MethodNamed("sce", 3, "select_topk: 0.5"), 3);
}

}  // namespace
}  // namespace merganser
