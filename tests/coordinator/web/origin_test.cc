// What a report says of its models' origins, as summaries and pages tell it.
#include <string>

#include "coordinator/web/page_data.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/web/sample_report.h"

namespace merganser::web {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kLora[] = "LoRA, 1 module, r=2, alpha 4, scale 2, on /models/base, stored as BF16";

Json WithOrigins() {
  Json report = SampleReport({SampleTensor("norm.weight", "mean", "norm")});
  report["models"][0]["origin"] = {{"text", "stored as MXFP4 with blocks of 32"},
                                   {"stored_as", "MXFP4 with blocks of 32"},
                                   {"stored", Json::array()}};
  report["models"][1]["origin"] = {
      {"text", kLora}, {"on", "/models/base"}, {"stored_as", "BF16"}, {"stored", Json::array()}};
  report["models"][1]["adapters"] = {
      {{"adapter", "math"}, {"origin", "LoRA, 1 module, r=2, alpha 4, scale 2"}}};
  return report;
}

TEST(OriginTest, TheSummarySaysHowEachModelIsStored) {
  const std::string text = SummaryText(Read(WithOrigins()));
  EXPECT_THAT(text, HasSubstr("  stored as MXFP4 with blocks of 32\n"));
  EXPECT_THAT(text, HasSubstr("  stored as BF16\n"));
  EXPECT_THAT(text, HasSubstr("  adapter math: LoRA, 1 module, r=2, alpha 4, scale 2\n"));
}

TEST(OriginTest, ProgramsAndPagesHaveALineAModel) {
  const ReadReport read = Read(WithOrigins());
  const Json models = Json::parse(SummaryJson(read, 0))["models"];
  EXPECT_EQ(models[0]["origin"], "stored as MXFP4 with blocks of 32");
  EXPECT_EQ(models[1]["origin"], kLora);
  const Json page = Json::parse(ReportPageData(read));
  EXPECT_EQ(page["a"]["summary"]["models"][1]["origin"], kLora);
}

TEST(OriginTest, ReportsThatDoNotTellAreRead) {
  Json report = WithOrigins();
  report["models"][0].erase("origin");
  report["models"][1]["origin"] = "BF16";  // of no form that is known
  const ReadReport read = Read(report);
  EXPECT_THAT(SummaryText(read), Not(HasSubstr("stored as")));
  const Json models = Json::parse(SummaryJson(read, 0))["models"];
  EXPECT_FALSE(models[0].contains("origin"));
  EXPECT_FALSE(models[1].contains("origin"));
}

TEST(OriginTest, HostileTextStaysOnItsLine) {
  Json report = WithOrigins();
  report["models"][0]["origin"]["stored_as"] = "BF16\n\u202eforged";
  EXPECT_THAT(SummaryText(Read(report)), HasSubstr("  stored as BF16??forged\n"));
}

}  // namespace
}  // namespace merganser::web
