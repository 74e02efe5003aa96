#include "common/engine/config_json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/small_plan.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Rewritten(std::string_view text, std::string_view dtype = "bfloat16") {
  const auto out = RewriteConfig(text, dtype, "config.json");
  EXPECT_TRUE(out.ok()) << out.status();
  return out.value_or("");
}

TEST(RewriteConfig, ReplacesTorchDtypeInPlace) {
  EXPECT_EQ(Rewritten(R"({"b": 1, "torch_dtype": "float32", "a": 2})"),
            "{\n  \"b\": 1,\n  \"torch_dtype\": \"bfloat16\",\n  \"a\": 2\n}\n");
}

TEST(RewriteConfig, ReplacesDtypeWhereTheBaseSaysSo) {
  const std::string out = Rewritten(R"({"dtype": "float32"})");
  EXPECT_EQ(out, "{\n  \"dtype\": \"bfloat16\"\n}\n");
}

TEST(RewriteConfig, ReplacesBothKeysWhenBothAreThere) {
  const std::string out = Rewritten(R"({"dtype": "float32", "torch_dtype": "float16"})");
  EXPECT_THAT(out, HasSubstr("\"dtype\": \"bfloat16\""));
  EXPECT_THAT(out, HasSubstr("\"torch_dtype\": \"bfloat16\""));
}

TEST(RewriteConfig, ReplacesInNestedConfigs) {
  const std::string out = Rewritten(
      R"({"torch_dtype": "float32", "text_config": {"torch_dtype": "float32"},
          "thinker_config": {"text_config": {"dtype": "float32"}}})");
  EXPECT_THAT(out, Not(HasSubstr("float32")));
  EXPECT_THAT(out, HasSubstr("\"dtype\": \"bfloat16\""));
}

TEST(RewriteConfig, ANestedKeyAloneIsEnough) {
  const std::string out = Rewritten(R"({"text_config": {"dtype": "float32"}})");
  EXPECT_EQ(out, "{\n  \"text_config\": {\n    \"dtype\": \"bfloat16\"\n  }\n}\n");
}

TEST(RewriteConfig, LeavesEqualNamesElsewhereAlone) {
  const std::string out = Rewritten(
      R"({"torch_dtype": "float32", "adapter": {"dtype": "int8"}, "x": ["dtype", {"dtype": "a"}],
          "sub_config": {"dtype": {"k": 1}}})");
  EXPECT_THAT(out, HasSubstr("\"dtype\": \"int8\""));
  EXPECT_THAT(out, HasSubstr("\"dtype\": \"a\""));
  EXPECT_THAT(out, HasSubstr("\"k\": 1"));
}

TEST(RewriteConfig, AddsTorchDtypeWhereThereIsNeither) {
  EXPECT_EQ(Rewritten(R"({"a": 1})"), "{\n  \"a\": 1,\n  \"torch_dtype\": \"bfloat16\"\n}\n");
  EXPECT_EQ(Rewritten("{}"), "{\n  \"torch_dtype\": \"bfloat16\"\n}\n");
}

TEST(RewriteConfig, ANullAtTheTopIsReplacedAndANestedOneKept) {
  const std::string out =
      Rewritten(R"({"torch_dtype": null, "text_config": {"torch_dtype": null}})");
  EXPECT_THAT(out, HasSubstr("  \"torch_dtype\": \"bfloat16\",\n"));
  EXPECT_THAT(out, HasSubstr("    \"torch_dtype\": null\n"));
}

TEST(RewriteConfig, KeepsOrderSpellingOfNumbersAndText) {
  const std::string out = Rewritten(
      "{\"z\": 1000000.0, \"y\": 1e-06, \"x\": 1E5, \"w\": 0.1000, \"big\": 18446744073709551616,"
      "\"neg\": -3, \"list\": [1, [], {}, true, null], \"name\": \"\\u00fc \\\"q\\\" \\n\","
      "\"dtype\": \"float16\"}");
  EXPECT_EQ(out,
            "{\n  \"z\": 1000000.0,\n  \"y\": 1e-06,\n  \"x\": 1E5,\n  \"w\": 0.1000,\n"
            "  \"big\": 18446744073709551616,\n  \"neg\": -3,\n"
            "  \"list\": [\n    1,\n    [],\n    {},\n    true,\n    null\n  ],\n"
            "  \"name\": \"\xC3\xBC \\\"q\\\" \\n\",\n  \"dtype\": \"bfloat16\"\n}\n");
}

TEST(RewriteConfig, WithoutADtypeNothingIsReplacedOrAdded) {
  EXPECT_EQ(Rewritten(R"({"torch_dtype": "float32"})", ""),
            "{\n  \"torch_dtype\": \"float32\"\n}\n");
  EXPECT_EQ(Rewritten("{}", ""), "{}\n");
}

TEST(RewriteConfig, RefusesWhatIsNoObjectAndNamesTheFile) {
  for (std::string_view text : {"", "[]", "1", "null", "{\"a\":", "{\"a\": 1} x", "{'a': 1}"}) {
    const auto out = RewriteConfig(text, "bfloat16", "/m/config.json");
    EXPECT_EQ(out.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(out.status().message()), HasSubstr("/m/config.json")) << text;
    EXPECT_THAT(std::string(out.status().message()), Not(HasSubstr("\n"))) << text;
  }
}

TEST(RewriteConfig, RefusesABombOfNesting) {
  const std::string text = std::string(100000, '[');
  EXPECT_FALSE(RewriteConfig("{\"a\":" + text, "bfloat16", "c").ok());
}

TEST(DominantTorchDtype, IsThatOfMostParameters) {
  EXPECT_EQ(DominantTorchDtype(TwoShardPlan()), "bfloat16");
  EXPECT_EQ(DominantTorchDtype(MakeSmallPlan({{{"a", DType::kF32, {100}},
                                               {"b", DType::kF16, {60}},
                                               {"c", DType::kF16, {60}},
                                               {"d", DType::kI64, {1000}}}})),
            "float16");
}

TEST(DominantTorchDtype, IsTheFirstOnATieAndEmptyWithoutFloats) {
  EXPECT_EQ(
      DominantTorchDtype(MakeSmallPlan({{{"a", DType::kF32, {10}}, {"b", DType::kBF16, {10}}}})),
      "float32");
  EXPECT_EQ(DominantTorchDtype(MakeSmallPlan({{{"a", DType::kI64, {10}}}})), "");
}

}  // namespace
}  // namespace merganser
