#include "coordinator/web/findings.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/web/sample_report.h"

namespace merganser::web {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string Verdict(double coherence) {
  return Read(SampleReport(
                  {SpectralTensor("layers.0.self_attn.q_proj.weight", "attention", coherence)}))
      .findings.sentences[0];
}

// The thresholds of README.md; the jump lies at 0.5.
TEST(FindingsTest, TheVerdictFollowsTheMedianCoherence) {
  EXPECT_EQ(Verdict(0.494), "The experts disagree.");
  EXPECT_EQ(Verdict(0.496), "The experts agree no more than unrelated changes do.");
  EXPECT_EQ(Verdict(0.504), "The experts agree no more than unrelated changes do.");
  EXPECT_EQ(Verdict(0.506), "The experts agree a little more than chance almost everywhere.");
  EXPECT_EQ(Verdict(0.529), "The experts agree a little more than chance almost everywhere.");
  EXPECT_EQ(Verdict(0.531), "The experts clearly agree almost everywhere.");
}

TEST(FindingsTest, AlmostEverywhereIsFourInFive) {
  const auto with = [](int above) {
    Json tensors = Json::array();
    for (int i = 0; i < 10; ++i) {
      tensors.push_back(SpectralTensor(absl::StrCat("layers.", i, ".mlp.up_proj.weight"), "ffn",
                                       i < above ? 0.6 : 0.4));
    }
    return Read(SampleReport(tensors)).findings.sentences[0];
  };
  EXPECT_EQ(with(8), "The experts clearly agree almost everywhere.");
  EXPECT_EQ(with(7), "The experts clearly agree.");
}

TEST(FindingsTest, CountsWhatFellBackAndSaysWhere) {
  Json tensors = Json::array();
  for (int layer = 0; layer < 4; ++layer) {
    const std::string at = absl::StrCat("layers.", layer, ".");
    tensors.push_back(SpectralTensor(at + "self_attn.k_proj.weight", "attention",
                                     layer > 0 ? 0.45 - 0.01 * layer : 0.6));
    tensors.push_back(SpectralTensor(at + "mlp.up_proj.weight", "ffn", 0.5005));
  }
  tensors.push_back(SampleTensor("norm.weight", "copy", "norm"));
  const ReadReport read = Read(SampleReport(tensors));
  const Findings& found = read.findings;
  EXPECT_EQ(found.jump, 0.5);
  EXPECT_EQ(found.gates, 8u);
  EXPECT_EQ(found.above, 5u);
  EXPECT_EQ(found.near_jump, 4u);
  EXPECT_EQ(found.copied, 1u);
  EXPECT_EQ(found.fell_back_elements, 60u);
  // The lowest first.
  ASSERT_EQ(found.fell_back.size(), 3u);
  EXPECT_EQ(RowName(read.report, found.fell_back[0]), "layers.3.self_attn.k_proj.weight");
  EXPECT_EQ(ShortRowName(read.report, read.layout, found.fell_back[0]), "layer 3 k");
  EXPECT_EQ(found.sentences[2],
            "3 of the 8 measured tensors, 38 % of their parameters, fell back to the plain mean: "
            "all of them k in layers 1 to 3.");
  EXPECT_THAT(found.sentences.back(), HasSubstr("It is no accuracy"));
}

TEST(FindingsTest, HowFarExpertsMovedIsTheLengthOfHeadAndResidual) {
  const ReadReport read = Read(SampleReport({SpectralTensor("layers.2.a.weight", "ffn", 0.6),
                                             SpectralTensor("layers.7.a.weight", "ffn", 0.6)}));
  const ByExpert& by = read.findings.by_expert;
  EXPECT_EQ(by.kind, "moved");
  EXPECT_THAT(by.layers, ElementsAre(2, 7));
  EXPECT_DOUBLE_EQ(by.values[0][0], 5);  // of 3 and 4
  EXPECT_DOUBLE_EQ(by.values[3][1], 3);
  EXPECT_DOUBLE_EQ(by.totals[0], std::sqrt(50.0));
}

TEST(FindingsTest, SharesAreOfAllThatWasTaken) {
  Json a = SampleTensor("layers.0.a.weight", "scf_rkl", ""), b = SampleTensor("b", "scf_rkl", "");
  a["selected"] = {6, 1, 1, 0};
  b["selected"] = {0, 0, 0, 0};
  const ReadReport read = Read(SampleReport({a, b}, "scf_rkl"));
  EXPECT_DOUBLE_EQ(read.findings.density, 0.2);
  EXPECT_THAT(read.findings.shares, ElementsAre(0.75, 0.125, 0.125, 0));
  EXPECT_EQ(read.findings.sentences[0], "math contributes most of what was taken.");
  EXPECT_THAT(read.findings.sentences[1], StartsWith("20.0 % of the coordinates"));
}

TEST(FindingsTest, SaysWhereNothingWasMeasured) {
  const ReadReport read = Read(SampleReport({SampleTensor("a", "linear", "")}, "linear"));
  EXPECT_EQ(read.findings.sentences[0], "linear measures nothing of a tensor.");
  EXPECT_TRUE(read.findings.by_expert.kind.empty());
}

TEST(FindingsTest, TextAndJsonHoldTheSameNumbers) {
  const ReadReport read = Read(SampleReport({SpectralTensor("layers.0.a.weight", "ffn", 0.45),
                                             SpectralTensor("layers.1.a.weight", "ffn", 0.7)}));
  const Json json = Json::parse(SummaryJson(read, 10));
  EXPECT_EQ(json["fell_back"]["count"], 1);
  EXPECT_EQ(json["fell_back"]["of"], 2);
  EXPECT_EQ(json["fell_back"]["gates"][0]["name"], "layers.0.a.weight");
  EXPECT_EQ(json["measured"]["coherence"]["median"], 0.45);
  EXPECT_EQ(json["run"]["bytes_read"], 2048);
  const std::string text = SummaryText(read);
  EXPECT_THAT(text, HasSubstr("1 of 2 to the plain mean"));
  EXPECT_THAT(text, HasSubstr("least 0.45, median 0.45, greatest 0.7 (2 values)"));
  EXPECT_THAT(text, HasSubstr("2.00 KiB read, 1.00 KiB written"));
  EXPECT_EQ(Json::parse(SummaryJson(read, 0))["fell_back"]["gates"].size(), 0u);
}

}  // namespace
}  // namespace merganser::web
