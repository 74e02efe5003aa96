// How methods are listed.
#include "coordinator/cli/methods_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace merganser::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

// One of everything.
std::vector<MethodInfo> Sample() {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  MethodInfo info;
  info.name = "sample";
  info.summary = "this | that";
  info.paper = "arXiv 1234.56789";
  info.base = BaseUse::kOptional;
  info.min_models = 2;
  ParameterSpec above = NumberParameter("above", 0.25, 0, 1, "a share");
  above.exclusive_min = true;
  info.parameters = {WeightParameter(true),
                     above,
                     IntegerParameter("steps", 10, 0, kInf, "how many"),
                     BooleanParameter("wise", true, "whether"),
                     ChoiceParameter("scope", {"tensor", "model"}, "whose"),
                     WithoutEffect(NumberParameter("idle", 1, 0, 1, ""), "it is idle")};
  info.properties.order_free = false;
  MethodInfo other;
  other.name = "other";
  other.summary = "nothing to set";
  other.paper = "example.org/a/b";
  other.base = BaseUse::kNone;
  other.min_models = other.max_models = 1;
  return {info, other};
}

TEST(MethodsTextTest, TheTableEscapesAndLinks) {
  EXPECT_EQ(MethodsMarkdown(Sample()),
            "| method | what it does | base | models | parameters (default) | source |\n"
            "| --- | --- | --- | --- | --- | --- |\n"
            "| `sample` | this \\| that | optional | 2 or more | `weight` per model (required), "
            "`above` (0.25), `steps` (10), `wise` (true), `scope` (tensor) | "
            "[arXiv 1234.56789](https://arxiv.org/abs/1234.56789) |\n"
            "| `other` | nothing to set | none | 1 | none | [example.org](https://example.org/a/b) "
            "|\n");
}

TEST(MethodsTextTest, JsonSaysEverything) {
  const auto methods = nlohmann::json::parse(MethodsJson(Sample()))["methods"];
  ASSERT_EQ(methods.size(), 2u);
  EXPECT_EQ(methods[0]["name"], "sample");
  EXPECT_EQ(methods[0]["base"], "optional");
  EXPECT_EQ(methods[0]["min_models"], 2);
  EXPECT_TRUE(methods[0]["max_models"].is_null());
  EXPECT_EQ(methods[1]["max_models"], 1);
  EXPECT_EQ(methods[0]["properties"]["order_free"], false);
  EXPECT_EQ(methods[0]["properties"]["zero_deltas"], true);
  const auto& parameters = methods[0]["parameters"];
  ASSERT_EQ(parameters.size(), 6u);
  EXPECT_EQ(parameters[0]["per_model"], true);
  EXPECT_EQ(parameters[0]["required"], true);
  EXPECT_TRUE(parameters[0]["default"].is_null());
  EXPECT_TRUE(parameters[0]["min"].is_null());
  EXPECT_EQ(parameters[1]["exclusive_min"], true);
  EXPECT_EQ(parameters[1]["max"], 1);
  EXPECT_EQ(parameters[2]["default"], 10);
  EXPECT_TRUE(parameters[2]["default"].is_number_integer());
  EXPECT_EQ(parameters[3]["default"], true);
  EXPECT_EQ(parameters[4]["choices"].size(), 2u);
  EXPECT_EQ(parameters[4]["default"], "tensor");
  EXPECT_EQ(parameters[5]["no_effect"], "it is idle");
  EXPECT_TRUE(methods[1]["parameters"].empty());
}

TEST(MethodsTextTest, TextHasRangesDefaultsAndProperties) {
  const std::string text = MethodsText(Sample());
  EXPECT_THAT(text, HasSubstr("sample: this | that\n"));
  EXPECT_THAT(text, HasSubstr("models besides it: 2 or more"));
  EXPECT_THAT(text, HasSubstr("above: a share; a number above 0 and at most 1, default 0.25"));
  EXPECT_THAT(text, HasSubstr("weight, per model: "));
  EXPECT_THAT(text, HasSubstr("a number, required"));
  EXPECT_THAT(text, HasSubstr("idle: no effect, it is idle"));
  EXPECT_THAT(text, HasSubstr("the order of the models does not matter: no"));
  EXPECT_THAT(text, Not(HasSubstr("inf")));
}

}  // namespace
}  // namespace merganser::cli
