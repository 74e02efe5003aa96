#include "coordinator/web/measured_differences.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/web/comparison.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/web/sample_report.h"

namespace merganser::web {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Of `count` tensors, whose coherence is `base` and what `more` says of the i-th.
template <typename More>
Json Layers(int count, const More& more) {
  Json tensors = Json::array();
  for (int i = 0; i < count; ++i) {
    tensors.push_back(SpectralTensor(absl::StrCat("layers.", i, ".a.weight"), "ffn", more(i)));
  }
  return SampleReport(std::move(tensors));
}

const MeasuredDifferences* Of(const Comparison& comparison, const std::string& measure,
                              const std::string& expert = "") {
  for (const MeasuredDifferences& each : comparison.measured) {
    if (each.measure == measure && each.expert == expert) return &each;
  }
  return nullptr;
}

std::vector<std::string> Names(const MeasuredDifferences& found) {
  std::vector<std::string> names;
  for (const TensorDifference& each : found.most) names.push_back(each.name);
  return names;
}

Comparison Compared(const Json& a, const Json& b) { return Compare(Read(a), Read(b)); }

TEST(MeasuredDifferencesTest, TheFurthestApartComeFirstWhateverTheirSign) {
  const Json a = Layers(4, [](int) { return 0.6; });
  const Json b = Layers(4, [](int i) { return 0.6 + (i == 1 ? -0.2 : i == 3 ? 0.1 : 0); });
  const Comparison comparison = Compared(a, b);
  const MeasuredDifferences* coherence = Of(comparison, "coherence");
  ASSERT_NE(coherence, nullptr);
  EXPECT_EQ(coherence->compared, 4u);
  EXPECT_EQ(coherence->differ, 2u);
  EXPECT_THAT(Names(*coherence), ElementsAre("layers.1.a.weight", "layers.3.a.weight"));
  EXPECT_DOUBLE_EQ(coherence->most[0].a, 0.6);
  EXPECT_DOUBLE_EQ(coherence->most[0].b, 0.4);
  // What does not differ is told, and lists nothing.
  const MeasuredDifferences* agreement = Of(comparison, "head_agreement");
  ASSERT_NE(agreement, nullptr);
  EXPECT_EQ(agreement->compared, 4u);
  EXPECT_EQ(agreement->differ, 0u);
  EXPECT_TRUE(agreement->most.empty());
}

TEST(MeasuredDifferencesTest, AHundredAtMostAreListed) {
  const Json a = Layers(150, [](int) { return 0.6; });
  const Json b = Layers(150, [](int i) { return 0.6 + 1e-3 * i; });
  const Comparison comparison = Compared(a, b);
  const MeasuredDifferences* coherence = Of(comparison, "coherence");
  ASSERT_NE(coherence, nullptr);
  EXPECT_EQ(coherence->differ, 149u);
  ASSERT_EQ(coherence->most.size(), kMostDifferences);
  EXPECT_EQ(coherence->most.front().name, "layers.149.a.weight");
  EXPECT_EQ(coherence->most.back().name, "layers.50.a.weight");
}

TEST(MeasuredDifferencesTest, NoNameIsKeptWhereNoneIsAskedFor) {
  const ReadReport a = Read(Layers(3, [](int) { return 0.5; }));
  const ReadReport b = Read(Layers(3, [](int) { return 0.75; }));
  const Comparison comparison = Compare(a, b, /*most=*/0);
  EXPECT_EQ(Of(comparison, "coherence")->differ, 3u);
  EXPECT_TRUE(Of(comparison, "coherence")->most.empty());
}

TEST(MeasuredDifferencesTest, EqualDifferencesKeepTheOrderOfTheReport) {
  const Json a = Layers(3, [](int) { return 0.5; });
  const Json b = Layers(3, [](int) { return 0.75; });
  EXPECT_THAT(Names(*Of(Compared(a, b), "coherence")),
              ElementsAre("layers.0.a.weight", "layers.1.a.weight", "layers.2.a.weight"));
}

TEST(MeasuredDifferencesTest, RowsAreToldByTheirNamesWhereverTheyStand) {
  Json a = SampleReport({SpectralTensor("x.weight", "ffn", 0.6),
                         SpectralTensor("only.a.weight", "ffn", 0.6),
                         SpectralTensor("y.weight", "ffn", 0.6)});
  Json b = SampleReport(
      {SpectralTensor("y.weight", "ffn", 0.9), SpectralTensor("x.weight", "ffn", 0.7)});
  const Comparison comparison = Compared(a, b);
  ASSERT_EQ(comparison.pairs.size(), 2u);
  EXPECT_EQ(comparison.pairs[0].a, 0u);
  EXPECT_EQ(comparison.pairs[0].b, 1u);
  EXPECT_EQ(comparison.pairs[1].a, 2u);
  EXPECT_EQ(comparison.pairs[1].b, 0u);
  EXPECT_THAT(Names(*Of(comparison, "coherence")), ElementsAre("y.weight", "x.weight"));
}

TEST(MeasuredDifferencesTest, OfOneValueAnExpertItIsTheMeanAndOfSharesEachExperts) {
  Json one = SpectralTensor("x.weight", "ffn", 0.6), other = one;
  other["residual_norm"] = {3, 3, 3, 7};
  one["share"] = {0.25, 0.25, 0.25, 0.25};
  other["share"] = {0.5, 0.25, 0.25, 0};
  const Comparison comparison = Compared(SampleReport({one}), SampleReport({other}));
  const MeasuredDifferences* residual = Of(comparison, "residual_norm");
  ASSERT_NE(residual, nullptr);
  EXPECT_DOUBLE_EQ(residual->most[0].b - residual->most[0].a, 1);
  EXPECT_EQ(Of(comparison, "share"), nullptr);
  const MeasuredDifferences* math = Of(comparison, "share", "math");
  ASSERT_NE(math, nullptr);
  EXPECT_DOUBLE_EQ(math->most[0].b - math->most[0].a, 0.25);
  EXPECT_EQ(Of(comparison, "share", "code")->differ, 0u);
  // Shares of other experts are no measurement that both have.
  Json renamed = SampleReport({other});
  renamed["models"][1]["model"] = "models/physics";
  EXPECT_EQ(Of(Compared(SampleReport({one}), renamed), "share", "math"), nullptr);
}

TEST(MeasuredDifferencesTest, WhatOneOfTheTwoDidNotMeasureIsNotCompared) {
  Json a = SpectralTensor("x.weight", "ffn", 0.6), b = a;
  b["head_agreement"] = nullptr;
  b["extra"] = 1;
  const Comparison comparison = Compared(SampleReport({a}), SampleReport({b}));
  EXPECT_EQ(Of(comparison, "head_agreement"), nullptr);
  EXPECT_EQ(Of(comparison, "extra"), nullptr);
}

TEST(MeasuredDifferencesTest, WhatIsNotComparableIsNotCompared) {
  Json b = Layers(2, [](int) { return 0.9; });
  b["models"].erase(0);
  const Comparison comparison = Compared(Layers(2, [](int) { return 0.6; }), b);
  EXPECT_TRUE(comparison.pairs.empty());
  EXPECT_TRUE(comparison.measured.empty());
}

TEST(MeasuredDifferencesTest, JsonHasAsManyAsAreAskedForAndTextTheFirst) {
  const ReadReport a = Read(Layers(9, [](int) { return 0.6; }));
  const ReadReport b = Read(Layers(9, [](int i) { return 0.6 + 0.03125 * i; }));
  const Comparison comparison = Compare(a, b);
  const auto coherence = [&](size_t most) {
    const Json json = Json::parse(ComparisonJson(comparison, most));
    for (const Json& each : json["measured"]) {
      if (each["measure"] == "coherence") return each;
    }
    return Json();
  };
  EXPECT_EQ(coherence(kMostDifferences)["most"].size(), 8u);
  EXPECT_EQ(coherence(kMostDifferences)["most"][0]["name"], "layers.8.a.weight");
  EXPECT_EQ(coherence(kMostDifferences)["most"][0]["difference"], 0.25);
  EXPECT_TRUE(coherence(kMostDifferences)["expert"].is_null());
  EXPECT_EQ(coherence(2)["most"].size(), 2u);
  EXPECT_EQ(coherence(2)["differ"], 8);
  EXPECT_THAT(ComparisonText(a, b, comparison),
              HasSubstr("coherence differs in 8 of 9 tensors, most in\n"
                        "  0.6000  ->  0.8500  (+0.2500)  layers.8.a.weight\n"));
}

}  // namespace
}  // namespace merganser::web
