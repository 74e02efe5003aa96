#include "coordinator/web/comparison.h"

#include <algorithm>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/web/sample_report.h"

namespace merganser::web {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Json Plain() {
  return SampleReport({SpectralTensor("layers.0.a.weight", "ffn", 0.45),
                       SpectralTensor("layers.1.a.weight", "ffn", 0.7)});
}

Comparison Compared(const Json& a, const Json& b) { return Compare(Read(a), Read(b)); }

const Difference* Of(const Comparison& comparison, const std::string& what) {
  for (const Difference& each : comparison.differences) {
    if (each.what == what) return &each;
  }
  return nullptr;
}

TEST(ComparisonTest, EqualReportsDifferInNothing) {
  const Comparison same = Compared(Plain(), Plain());
  EXPECT_TRUE(same.comparable);
  EXPECT_TRUE(same.differences.empty());
  EXPECT_EQ(same.sentences[0], "The two merge the same inputs.");
  EXPECT_THAT(same.sentences[1], HasSubstr("every byte of the outputs"));
  EXPECT_THAT(ComparisonText(Read(Plain()), Read(Plain()), same),
              HasSubstr("Nothing that is on record differs."));
}

TEST(ComparisonTest, TellsOnlyWhatDiffersAndByHowMuch) {
  Json b = Plain();
  b["plan"] = "other";
  b["method"]["parameters"]["scope"] = "model";
  b["run"]["bytes_read"] = 6144;
  b["rounds"] = 3;
  b["tensors"][0]["coherence"] = 0.55;
  b["tensors"][0]["branch"] = 1;
  const Comparison comparison = Compared(Plain(), b);
  ASSERT_TRUE(comparison.comparable);
  EXPECT_EQ(Of(comparison, "scope")->difference, "changed");
  EXPECT_EQ(Of(comparison, "Rounds")->difference, "+2");
  EXPECT_EQ(Of(comparison, "Read")->difference, "x 3");
  EXPECT_EQ(Of(comparison, "Median of coherence")->difference, "+0.1000");
  EXPECT_EQ(Of(comparison, "Fell back to the mean")->a, "1 of 2");
  EXPECT_EQ(Of(comparison, "Fell back to the mean")->b, "0 of 2");
  EXPECT_EQ(Of(comparison, "rank_topk"), nullptr);
  EXPECT_EQ(Of(comparison, "Written"), nullptr);
  EXPECT_THAT(ComparisonJson(comparison), HasSubstr("\"comparable\":true"));
}

TEST(ComparisonTest, OtherBasesAndShapesAreNotComparedTensorByTensor) {
  Json base = Plain();
  base["models"][0]["shards"][0]["header"] = "h2";
  Json shape = Plain();
  shape["tensors"][1]["shape"] = {5, 4};
  Json names = SampleReport({SpectralTensor("other.0.a.weight", "ffn", 0.45)});
  Json none = Plain();
  none["models"].erase(0);
  for (const auto& [json, why] :
       {std::pair(base, "The bases differ"),
        std::pair(shape, "1 tensor differ in shape, layers.1.a.weight"),
        std::pair(names, "No tensor is in both"), std::pair(none, "Only A has a base")}) {
    const Comparison comparison = Compared(Plain(), json);
    EXPECT_FALSE(comparison.comparable) << why;
    EXPECT_THAT(comparison.sentences[0], HasSubstr(why));
    EXPECT_EQ(Of(comparison, "Median of coherence"), nullptr) << why;
  }
}

TEST(ComparisonTest, OtherExpertsAreSaid) {
  Json b = Plain();
  b["models"][1]["model"] = "models/physics";
  b["models"][1]["uri"] = "/models/physics";
  const Comparison comparison = Compared(Plain(), b);
  EXPECT_TRUE(comparison.comparable);
  EXPECT_EQ(comparison.sentences[0], "The two merge other experts of one base.");
  // The same files, copied elsewhere: their values may be others.
  Json copied = Plain();
  copied["models"][1]["uri"] = "/elsewhere/math";
  copied["models"][1]["shards"][0]["identity"] = "math-2";
  EXPECT_THAT(Compared(Plain(), copied).sentences[0], HasSubstr("is not on record"));
  // And a file that was replaced where it was is another.
  Json replaced = Plain();
  replaced["models"][1]["shards"][0]["identity"] = "math-2";
  EXPECT_EQ(Compared(Plain(), replaced).sentences[0], "The two merge other experts of one base.");
}

TEST(ComparisonTest, ListsTensorsOfOneOnly) {
  Json b = Plain();
  b["tensors"].push_back(SampleTensor("extra.weight", "copy", ""));
  const Comparison comparison = Compared(Plain(), b);
  EXPECT_TRUE(comparison.comparable);
  EXPECT_EQ(comparison.only_a, 0u);
  EXPECT_THAT(comparison.only_b_names, ElementsAre("extra.weight"));
  EXPECT_EQ(comparison.sentences.back(), "0 tensors only in A, 1 tensor only in B.");
  EXPECT_THAT(ComparisonText(Read(Plain()), Read(b), comparison),
              HasSubstr("only in B: 1 tensor, extra.weight"));
}

}  // namespace
}  // namespace merganser::web
