#include "common/methods/breadcrumbs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/methods/magnitude_band.h"
#include "tests/common/methods/gta_reference.h"

namespace merganser {
namespace {

using testing::ElementsAre;

constexpr uint64_t kSeed = 8120;

Numbers Merge(const std::string& method, const std::string& parameters, const Numbers& base,
              const std::vector<Numbers>& experts) {
  MethodRun run;
  run.base = base;
  run.experts = experts;
  const auto result = RunMethod(*MethodNamed(method, experts.size(), parameters), run);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->values : Numbers();
}

TEST(BandTest, IsWhatIsLeftBetweenTopAndBottom) {
  EXPECT_EQ(CrumbsBand(0.5, 0.1, 10), (Band{1, 6}));
  EXPECT_EQ(CrumbsBand(0.5, 0, 10), (Band{0, 5}));
  EXPECT_EQ(CrumbsBand(0.5, 0.09, 10), (Band{0, 5}));  // less than one element
  // Not so many are left: the density comes first.
  EXPECT_EQ(CrumbsBand(0.9, 0.3, 10), (Band{1, 10}));
  EXPECT_EQ(CrumbsBand(0.5, 1, 10), (Band{5, 10}));
  EXPECT_EQ(CrumbsBand(0, 0.1, 10), (Band{1, 1}));
  EXPECT_EQ(CrumbsBand(0.5, 0.5, 1), (Band{0, 0}));
  EXPECT_EQ(LargestBand(0.5, 10), (Band{0, 5}));
  EXPECT_EQ(LargestBand(0.01, 10), (Band{0, 1}));
}

TEST(BreadcrumbsTest, ByHand) {
  const Numbers base(10, 1.0);
  const Numbers expert = {11, 0, 3, -2, 5, 1, 8, 1.5, -6, 10};  // d: 10 -1 2 -3 4 0 7 .5 -7 9
  EXPECT_THAT(Merge("breadcrumbs", "density: 0.4, gamma: 0.2", base, {expert}),
              ElementsAre(1, 1, 1, -2, 5, 1, 8, 1, -6, 1));
  EXPECT_THAT(Merge("breadcrumbs", "density: 0.2, gamma: 0.2", base, {expert}),
              ElementsAre(1, 1, 1, 1, 1, 1, 8, 1, -6, 1));
  // The two of magnitude 7 are the third and fourth: with one more dropped, the later stays.
  EXPECT_THAT(Merge("breadcrumbs", "density: 0.2, gamma: 0.3", base, {expert}),
              ElementsAre(1, 1, 1, 1, 5, 1, 1, 1, -6, 1));
  EXPECT_THAT(Merge("breadcrumbs", "density: 0.1, gamma: 0.2", base, {expert}),
              ElementsAre(1, 1, 1, 1, 1, 1, 8, 1, 1, 1));
}

TEST(BreadcrumbsTest, SumsWithoutDividing) {
  EXPECT_THAT(Merge("breadcrumbs", "", {1, 1}, {{2, 0}, {3, 3}}), ElementsAre(4, 2));
  EXPECT_THAT(Merge("breadcrumbs_ties", "", {1, 1}, {{2, 0}, {3, 3}}), ElementsAre(4, 3));
  EXPECT_THAT(Merge("breadcrumbs", "normalize: true", {1, 1}, {{2, 0}, {3, 3}}),
              ElementsAre(2.5, 1.5));
}

// mergekit's slice keeps nothing when gamma * n is below one.
TEST(BreadcrumbsTest, NothingIsTooFewToDropAndKeepsTheRest) {
  EXPECT_THAT(Merge("breadcrumbs", "density: 0.5", {0, 0, 0, 0}, {{1, -4, 2, 3}}),
              ElementsAre(0, -4, 0, 3));
}

TEST(BreadcrumbsTest, BothEdgesMayLieInOneMagnitude) {
  const Numbers base(8, 0.0), expert = {1, -1, 1, 1, -1, 1, 1, 1};
  EXPECT_THAT(Merge("breadcrumbs", "density: 0.5, gamma: 0.25", base, {expert}),
              ElementsAre(0, 0, 1, 1, -1, 1, 0, 0));
}

TEST(BreadcrumbsTest, AgreesWithAPlainEvaluation) {
  for (const size_t size : {size_t{1}, size_t{99}, size_t{1025}, size_t{70'003}}) {
    for (const bool tied : {false, true}) {
      for (const bool consensus : {false, true}) {
        for (const bool rescale : {false, true}) {
          SCOPED_TRACE(testing::Message() << size << ", tied " << tied << ", consensus "
                                          << consensus << ", rescale " << rescale);
          const MethodRun run = tied ? TiedRun(size, 2, kSeed) : RandomRun(size, 2, kSeed);
          ReferenceGta reference;
          reference.consensus = consensus;
          reference.rescale = rescale;
          reference.weights = {0.7, 0.7};
          const auto n = static_cast<double>(size);
          const double target = std::floor(0.4 * n);
          const double top = std::min(std::floor(0.05 * n), n - target);
          for (const Numbers& expert : run.experts) {
            reference.kept.push_back(KeptRanks(run.base, expert, static_cast<size_t>(top),
                                               static_cast<size_t>(top + target)));
          }
          const auto method =
              MethodNamed(consensus ? "breadcrumbs_ties" : "breadcrumbs", 2,
                          absl::StrCat("weight: 0.7, density: 0.4, gamma: 0.05, rescale: ",
                                       rescale ? "true" : "false"));
          ExpectMerges(*method, run, Evaluate(reference, run.base, run.experts), !rescale);
        }
      }
    }
  }
}

TEST(BreadcrumbsTest, KeepsTheBaseWhereNothingChanged) {
  ExpectKeepsTheBase(*MethodNamed("breadcrumbs", 2, "density: 0.5"), 2);
  ExpectKeepsTheBase(*MethodNamed("breadcrumbs_ties", 2, "density: 0.5, rescale: true"), 2);
  ExpectKeepsTheBase(*MethodNamed("breadcrumbs", 1, "density: 0"), 1);
}

}  // namespace
}  // namespace merganser
