#include "coordinator/web/page.h"

#include <openssl/sha.h>

#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "coordinator/web/assets.h"
#include "coordinator/web/comparison.h"
#include "coordinator/web/encode.h"
#include "coordinator/web/page_data.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/web/sample_report.h"

namespace merganser::web {
namespace {

using testing::HasSubstr;
using testing::Not;

size_t Count(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

std::string Between(const std::string& text, std::string_view begin, std::string_view end) {
  const size_t from = text.find(begin);
  EXPECT_NE(from, std::string::npos) << begin;
  const size_t at = from + begin.size();
  return text.substr(at, text.find(end, at) - at);
}

// As a page's script reads it.
Json DataOf(const std::string& page) {
  return Json::parse(Between(page, "id=\"data\">", "</script>"));
}

std::vector<float> Floats(const Json& column) {
  std::string bytes;
  EXPECT_TRUE(absl::Base64Unescape(column["data"].get<std::string>(), &bytes));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Json Column(const Json& side, std::string_view name) {
  for (const Json& column : side["columns"]) {
    if (column["name"] == name) return column;
  }
  ADD_FAILURE() << "no column " << name;
  return nullptr;
}

std::string Sha256Source(std::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return absl::StrCat("'sha256-", Base64({reinterpret_cast<const char*>(digest), sizeof(digest)}),
                      "'");
}

constexpr std::string_view kHostile[] = {
    "</script><script>alert(1)</script>",
    "</noscript><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]>\"'`${alert(1)}\\",
    "a\xe2\x80\xa8"
    "b\xe2\x80\xa9"
    "c\xe2\x80\xae"
    "d\xe2\x80\x8b"
    "e",
    "%3Cscript%3E &lt;b&gt; &#60;",
};

Json HostileReport(std::string_view text) {
  const std::string s(text);
  Json tensor = SpectralTensor("layers.3." + s + ".weight", "ffn", 0.6);
  tensor["mode"] = tensor["dtype"] = tensor["note"] = s;
  tensor["family"] = s;
  tensor[s] = 1;
  tensor["group"] = s;
  Json report = SampleReport({tensor, SampleTensor(s, "copy", "")});
  for (const char* key : {"program", "plan", "recipe"}) report[key] = s;
  report["warnings"] = {s};
  report["shards"][0]["file"] = s;
  report["method"]["name"] = s;
  report["method"]["parameters"] = {{s, s}};
  report["method"]["per_model"][0] = {{s, s}};
  report["groups"] = {{{"key", s}, {"tensors", 1}, {"elements", 20}, {s, 2}}};
  for (Json& model : report["models"]) {
    model["model"] = model["uri"] = s;
    model["shards"][0]["file"] = model["shards"][0]["identity"] = s;
    model["shards"][0]["header"] = s;
  }
  for (const char* key : {"job", "started", "finished", "simd"}) report["run"][key] = s;
  report["run"]["workers"] = {s};
  return report;
}

TEST(PageTest, NothingOfAReportBecomesMarkupOrScript) {
  const std::string plain = ReportPage(Read(SampleReport({SampleTensor("a", "copy", "")})));
  for (const std::string_view text : kHostile) {
    const ReadReport read = Read(HostileReport(text), std::string(text));
    for (const std::string& page :
         {ReportPage(read), ComparisonPage(read, read, Compare(read, read))}) {
      // Tags begin with '<': there are as many as in a page without others' text.
      EXPECT_EQ(Count(page, "<"), Count(plain, "<")) << text;
      EXPECT_EQ(Count(page, "</script>"), 2u) << text;
      EXPECT_THAT(page, Not(HasSubstr("\xe2\x80\xa8")));
      EXPECT_THAT(page, Not(HasSubstr("\xe2\x80\xae")));
      // And it is all there.
      EXPECT_EQ(DataOf(page)["a"]["summary"]["warnings"][0], text);
      EXPECT_EQ(DataOf(page)["a"]["kinds"][0]["note"], text);
    }
  }
}

TEST(PageTest, ThePolicyHasTheHashesOfTheOneScriptAndTheOneStyle) {
  const std::string page = ReportPage(Read(SampleReport(Json::array())));
  EXPECT_EQ(Count(page, "<script type=\"module\">"), 1u);
  EXPECT_EQ(Count(page, "<style>"), 1u);
  EXPECT_EQ(Count(page, "style=\""), 0u);
  const std::string policy = Between(page, "content=\"default-src", "\">");
  EXPECT_EQ(policy,
            absl::StrCat(" 'none'; script-src ",
                         Sha256Source(Between(page, "<script type=\"module\">", "</script>")),
                         "; style-src ", Sha256Source(Between(page, "<style>", "</style>")),
                         "; base-uri 'none'; form-action 'none'"));
}

TEST(PageTest, TheModulesAreOneScriptThatAsksForNothing) {
  const std::string script(PageScript().text), style(PageStyle().text);
  EXPECT_THAT(script, Not(HasSubstr("\nimport ")));
  EXPECT_THAT(script, Not(HasSubstr("\nexport ")));
  for (const std::string_view word :
       {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
        "fetch(", "XMLHttpRequest", "WebSocket", "https://"}) {
    EXPECT_THAT(script, Not(HasSubstr(word)));
  }
  for (const std::string_view word : {"url(", "@import", "http"}) {
    EXPECT_THAT(style, Not(HasSubstr(word)));
  }
}

TEST(PageDataTest, ColumnsHoldTheReportsNumbers) {
  Json first = SpectralTensor("layers.0.a.weight", "ffn", 0.45);
  first["steps"] = {5, 6, 254, 7};
  Json second = SampleTensor("norm.weight", "mean", "norm");
  const Json data = Json::parse(ReportPageData(Read(SampleReport({first, second}))))["a"];
  const std::vector<float> coherence = Floats(Column(data, "coherence"));
  ASSERT_EQ(coherence.size(), 2u);
  EXPECT_EQ(coherence[0], 0.45f);
  EXPECT_TRUE(std::isnan(coherence[1]));
  const Json steps = Column(data, "steps");
  EXPECT_EQ(steps["type"], "u8");
  EXPECT_EQ(steps["width"], 4);
  EXPECT_EQ(steps["data"], Base64(std::string("\x05\x06\xfe\x07\xff\xff\xff\xff", 8)));
  EXPECT_EQ(data["tensors"]["count"], 2);
  EXPECT_EQ(data["tensors"]["layer"]["data"], Base64(std::string("\x01\x00", 2)));
  EXPECT_EQ(data["tensors"]["layer"]["offset"], -1);
  EXPECT_EQ(data["by_expert"]["values"][0][0], 5);
  EXPECT_TRUE(data["rows"].is_null());
}

TEST(PageDataTest, WholeNumbersTakeAsManyBytesAsTheyNeed) {
  const auto type = [](double value) {
    Json tensor = SampleTensor("a", "x", "");
    tensor["m"] = value;
    return Column(Json::parse(ReportPageData(Read(SampleReport({tensor}))))["a"], "m")["type"]
        .get<std::string>();
  };
  EXPECT_EQ(type(254), "u8");
  EXPECT_EQ(type(255), "u16");
  EXPECT_EQ(type(65534), "u16");
  EXPECT_EQ(type(65535), "f32");
  EXPECT_EQ(type(-1), "f32");
  EXPECT_EQ(type(0.5), "f32");
}

TEST(PageDataTest, RowsOfTwoReportsArePairedWhereTheyAreNotTheSame) {
  const Json one = SpectralTensor("layers.0.a.weight", "ffn", 0.45),
             other = SpectralTensor("layers.1.a.weight", "ffn", 0.7);
  const ReadReport a = Read(SampleReport({one, other}));
  const ReadReport same = Read(SampleReport({one, other}));
  const ReadReport turned = Read(SampleReport({other, SampleTensor("new", "copy", ""), one}));
  const auto data = [&](const ReadReport& b) {
    return Json::parse(ComparisonPageData(a, b, Compare(a, b)));
  };
  EXPECT_TRUE(data(same)["pairs"].is_null());
  const Json pairs = data(turned)["pairs"];
  EXPECT_EQ(pairs["count"], 2);
  EXPECT_EQ(pairs["left_out"], 0);
  EXPECT_EQ(pairs["a"]["data"], Base64(std::string("\x00\x01", 2)));
  EXPECT_EQ(pairs["b"]["data"], Base64(std::string("\x02\x00", 2)));
  // The page finds in its columns what a program is told in a list.
  const Json comparison = data(turned)["comparison"];
  ASSERT_FALSE(comparison["measured"].empty());
  for (const Json& measured : comparison["measured"]) {
    EXPECT_TRUE(measured["most"].empty());
  }
}

TEST(PageDataTest, WhatDoesNotFitIsLeftOutTheLeastImportantFirst) {
  const ReadReport read = Read(SampleReport({SpectralTensor("layers.0.a.weight", "ffn", 0.45)}));
  const Json data = Json::parse(ReportPageData(read, 16))["a"];
  EXPECT_EQ(data["columns"][0]["name"], "coherence");
  EXPECT_THAT(data["left_out"].dump(), HasSubstr("head_norm"));
  EXPECT_TRUE(Json::parse(ReportPageData(read))["a"]["left_out"].empty());
}

}  // namespace
}  // namespace merganser::web
