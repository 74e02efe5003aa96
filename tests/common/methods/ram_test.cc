#include "common/methods/ram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/common/methods/gta_reference.h"

namespace merganser {
namespace {

using testing::ElementsAre;

constexpr uint64_t kSeed = 1357;

// RAM is RAM+ with r 0.
Numbers EvaluateRam(const MethodRun& run, double epsilon, double r, double alpha) {
  const size_t n = run.base.size(), models = run.experts.size();
  const auto changed = [&](size_t i, size_t e) {
    return std::abs(run.experts[i][e] - run.base[e]) > epsilon;
  };
  std::vector<size_t> contributors(n);
  for (size_t e = 0; e < n; ++e) {
    for (size_t i = 0; i < models; ++i) contributors[e] += changed(i, e);
  }
  Numbers out = run.base;
  for (size_t i = 0; i < models; ++i) {
    double unique = 0, shared = 0;
    for (size_t e = 0; e < n; ++e) {
      if (changed(i, e)) ++(contributors[e] == 1 ? unique : shared);
    }
    const double lambda = 1 + r * std::clamp(shared / std::max(unique, epsilon), 0.0, alpha);
    for (size_t e = 0; e < n; ++e) {
      if (!changed(i, e)) continue;
      const double d = run.experts[i][e] - run.base[e];
      out[e] += contributors[e] == 1 ? lambda * d : d / static_cast<double>(contributors[e]);
    }
  }
  return out;
}

TEST(RamTest, ByHand) {
  MethodRun run;
  run.base = {1, 1, 1, 1, 1};
  run.experts = {{2, 3, 1, 1, 1 + 1e-6}, {1, 5, 1, 4, 1}};
  EXPECT_THAT(RunMethod(*MethodNamed("ram", 2), run)->values, ElementsAre(2, 4, 1, 4, 1));
  // Both have one unique and one shared element: the ratio is 1, clipped to 0.2.
  const Numbers plus = RunMethod(*MethodNamed("ramplus_tl", 2), run)->values;
  EXPECT_NEAR(plus[0], 1 + 1.02, 1e-15);
  EXPECT_EQ(plus[1], 4);
  EXPECT_EQ(plus[2], 1);
  EXPECT_NEAR(plus[3], 1 + 3 * 1.02, 1e-15);
  EXPECT_THAT(RunMethod(*MethodNamed("ramplus_tl", 2, "r: 1, alpha: 10"), run)->values,
              ElementsAre(3, 4, 1, 7, 1));
  EXPECT_THAT(RunMethod(*MethodNamed("ram", 2, "epsilon: 2"), run)->values,
              ElementsAre(1, 5, 1, 4, 1));
}

TEST(RamTest, TheRatioIsEveryExpertsOwn) {
  MethodRun run;
  run.base = {0, 0, 0, 0, 0};
  run.experts = {{1, 1, 1, 0, 1}, {0, 0, 0, 1, 1}};
  // Of 4 and 2 changes one is shared: ratios 1/3 and 1.
  const Numbers plus = RunMethod(*MethodNamed("ramplus_tl", 2, "r: 0.3, alpha: 2"), run)->values;
  EXPECT_NEAR(plus[0], 1.1, 1e-15);
  EXPECT_NEAR(plus[3], 1.3, 1e-15);
  EXPECT_EQ(plus[4], 1);
}

TEST(RamTest, WithoutUniqueElementsNothingIsScaled) {
  MethodRun run;
  run.base = {0, 0};
  run.experts = {{1, 2}, {3, 4}};
  EXPECT_THAT(RunMethod(*MethodNamed("ramplus_tl", 2), run)->values, ElementsAre(2, 3));
  EXPECT_THAT(RunMethod(*MethodNamed("ramplus_tl", 2, "epsilon: 0"), run)->values,
              ElementsAre(2, 3));
}

TEST(RamTest, AgreesWithAPlainEvaluation) {
  for (const size_t size : {size_t{1}, size_t{1027}, size_t{70'003}}) {
    for (const size_t models : {size_t{1}, size_t{2}, size_t{4}}) {
      for (const bool tied : {false, true}) {
        const MethodRun run = tied ? TiedRun(size, models, kSeed) : RandomRun(size, models, kSeed);
        ExpectMerges(*MethodNamed("ram", models), run, EvaluateRam(run, 1e-5, 0, 0.2), true);
        ExpectMerges(*MethodNamed("ram", models, "epsilon: 0.005"), run,
                     EvaluateRam(run, 0.005, 0, 0.2), true);
        ExpectMerges(*MethodNamed("ramplus_tl", models), run, EvaluateRam(run, 1e-5, 0.1, 0.2),
                     true);
        ExpectMerges(*MethodNamed("ramplus_tl", models, "r: -0.7, alpha: 3, epsilon: 0.004"), run,
                     EvaluateRam(run, 0.004, -0.7, 3), true);
      }
    }
  }
}

TEST(RamTest, ReportsWhatItCounted) {
  MethodRun run;
  run.base = {0, 0, 0};
  run.experts = {{1, 1, 0}, {0, 1, 0}};
  const auto result = RunMethod(*MethodNamed("ramplus_tl", 2), run);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->report.size(), 3u);
  EXPECT_THAT(result->report[0].values, ElementsAre(1, 0));
  EXPECT_THAT(result->report[1].values, ElementsAre(1, 1));
  EXPECT_THAT(result->report[2].values, ElementsAre(1.02, 1.02));
}

TEST(RamTest, KeepsTheBaseWhereNothingChanged) {
  ExpectKeepsTheBase(*MethodNamed("ram", 2), 2);
  ExpectKeepsTheBase(*MethodNamed("ramplus_tl", 2), 2);
}

}  // namespace
}  // namespace merganser
