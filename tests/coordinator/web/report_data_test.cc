#include "coordinator/web/report_data.h"

#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/web/sample_report.h"

namespace merganser::web {
namespace {

using testing::HasSubstr;

absl::Status Parsed(const std::string& text) { return ParseReport(text, "s3://b/report").status(); }

TEST(ReportDataTest, ReadsWhatAReportHolds) {
  Json tensor = SpectralTensor("layers.0.self_attn.q_proj.weight", "attention", 0.75);
  tensor["unknown_measure"] = nullptr;
  const Json json = SampleReport({tensor, SampleTensor("norm.weight", "mean", "norm")});
  const absl::StatusOr<MergeReport> report = ParseReport(json.dump(), "report");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->method.name, "resmerge");
  EXPECT_EQ(report->Experts(), 4u);
  EXPECT_EQ(report->ExpertNames()[1], "code");
  EXPECT_EQ(report->run.bytes_read, 2048u);
  EXPECT_EQ(report->tensors.size(), 2u);
  EXPECT_EQ(report->Find("coherence")->At(0), 0.75);
  EXPECT_TRUE(std::isnan(report->Find("coherence")->At(1)));
  EXPECT_EQ(report->Find("head_norm")->width, 4u);
  EXPECT_EQ(report->Find("head_norm")->At(0, 2), 4);
  EXPECT_TRUE(std::isnan(report->Find("unknown_measure")->At(0)));
}

TEST(ReportDataTest, LeavesAndGatesAreRowsOfTheirOwn) {
  Json stack = SampleTensor("layers.0.mlp.experts.down_proj", "spectral", "ffn");
  stack["leaves"] = {{{"leaf", 0}, {"seconds", 1}, {"coherence", 0.25}},
                     {{"leaf", 1}, {"seconds", 1}, {"coherence", 0.75}}};
  Json grouped = SampleTensor("layers.0.self_attn.q_proj.weight", "spectral", "attention");
  grouped["group"] = "model";
  Json json = SampleReport({stack, grouped});
  json["groups"] = {{{"key", "model"}, {"tensors", 1}, {"elements", 20}, {"coherence", 0.5}}};
  const absl::StatusOr<MergeReport> report = ParseReport(json.dump(), "report");
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->rows.size(), 5u);
  EXPECT_EQ(report->rows[2].leaf, 1u);
  EXPECT_EQ(report->Find("coherence")->At(2), 0.75);
  EXPECT_EQ(report->tensors[1].row, 3u);
  EXPECT_EQ(report->rows[3].gate, 4u);
  EXPECT_EQ(report->Find("coherence")->At(report->rows[3].gate), 0.5);
}

TEST(ReportDataTest, ListsOfOtherLengthsKeepTheirNumbers) {
  Json narrow = SampleTensor("a", "x", ""), wide = SampleTensor("b", "x", "");
  narrow["m"] = {1};
  wide["m"] = {2, 3, 4};
  const absl::StatusOr<MergeReport> report =
      ParseReport(SampleReport({narrow, wide}).dump(), "report");
  ASSERT_TRUE(report.ok());
  const ReportedMeasure& measure = *report->Find("m");
  EXPECT_EQ(measure.At(0, 0), 1);
  EXPECT_TRUE(std::isnan(measure.At(0, 2)));
  EXPECT_EQ(measure.At(1, 2), 4);
}

TEST(ReportDataTest, WhatIsNoReportIsSaid) {
  Json newer = SampleReport(Json::array());
  newer["format"] = 2;
  EXPECT_EQ(Parsed(newer.dump()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Parsed(newer.dump()).message()),
              HasSubstr("s3://b/report: found format 2, expected 1"));
  for (const char* text : {"", "{", "[]", "7", "{\"format\": 1}", "{\"format\": \"1\"}", "\xff"}) {
    EXPECT_EQ(Parsed(text).code(), absl::StatusCode::kDataLoss) << text;
  }
  for (const char* key : {"method", "models", "tensors", "run"}) {
    Json without = SampleReport(Json::array());
    without.erase(key);
    EXPECT_THAT(std::string(Parsed(without.dump()).message()), HasSubstr(key)) << key;
  }
  Json wrong = SampleReport(Json::array());
  wrong["tensors"] = "none";
  EXPECT_EQ(Parsed(wrong.dump()).code(), absl::StatusCode::kDataLoss);
  wrong["tensors"] = {7};
  EXPECT_EQ(Parsed(wrong.dump()).code(), absl::StatusCode::kDataLoss);
  wrong["tensors"] = {{{"mode", "copy"}}};
  EXPECT_THAT(std::string(Parsed(wrong.dump()).message()), HasSubstr("a tensor has no name"));
}

TEST(ReportDataTest, WhatWasCutAnywhereIsNoReport) {
  const std::string text = SampleReport({SpectralTensor("a.0.b", "ffn", 0.6)}).dump();
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(Parsed(text.substr(0, size)))) << size;
  }
}

// Members of every wrong type do no harm: they count as missing.
TEST(ReportDataTest, MembersOfAnotherTypeDoNoHarm) {
  const Json whole = SampleReport({SpectralTensor("a.0.b", "ffn", 0.6)});
  for (const auto& [key, value] : whole.items()) {
    if (key == "format") continue;
    for (const Json& other : {Json(nullptr), Json(-1), Json("x"), Json::array({Json::array()}),
                              Json{{"a", {{"b", 1}}}}, Json(1e300)}) {
      Json changed = whole;
      changed[key] = other;
      const absl::StatusOr<MergeReport> report = ParseReport(changed.dump(), "report");
      if (report.ok()) continue;
      EXPECT_TRUE(absl::IsDataLoss(report.status())) << key << other;
    }
  }
  for (const auto& [key, value] : whole["tensors"][0].items()) {
    for (const Json& other :
         {Json(nullptr), Json(-1), Json("x"), Json::array({Json::object()}), Json::object()}) {
      Json changed = whole;
      changed["tensors"][0][key] = other;
      EXPECT_TRUE(Parsed(changed.dump()).ok()) << key << other;
    }
  }
}

TEST(ReportDataTest, TooManyMeasurementsAreLeftOutByName) {
  Json tensor = SampleTensor("a", "x", "");
  for (size_t i = 0; i < kMaxMeasures + 3; ++i) tensor["m" + std::to_string(i)] = 1;
  tensor["wide"] = std::vector<double>(kMaxMeasureWidth + 1, 1.0);
  const absl::StatusOr<MergeReport> report = ParseReport(SampleReport({tensor}).dump(), "report");
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->measures.size(), kMaxMeasures);
  EXPECT_EQ(report->left_out.size(), 4u);
  EXPECT_EQ(report->Find("wide"), nullptr);
}

TEST(ReportDataTest, ExpertsOfOneNameAreNumbered) {
  Json json = SampleReport(Json::array());
  json["models"][2]["model"] = "other/math/";
  const absl::StatusOr<MergeReport> report = ParseReport(json.dump(), "report");
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->ExpertNames()[0], "expert 1");
}

}  // namespace
}  // namespace merganser::web
