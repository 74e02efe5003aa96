#include "common/config/config_json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/common/engine/small_plan.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
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

TEST(RewriteConfig, LeavesOutWhatSaysThatWeightsAreQuantised) {
  ConfigChanges changes;
  changes.dropped = {"quantization_config", "quantization"};
  const auto out = RewriteConfig(
      R"({"quantization_config": {"quant_method": "fp8", "list": [1, {"a": 2}]}, "a": [1],
          "text_config": {"quantization_config": {"dtype": "x"}, "b": 2},
          "other": {"quantization_config": {"c": 3}}, "dtype": "bfloat16", "quantization": {}})",
      "bfloat16", "config.json", changes);
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(nlohmann::json::parse(*out),
            nlohmann::json::parse(R"({"a": [1], "text_config": {"b": 2},
                "other": {"quantization_config": {"c": 3}}, "dtype": "bfloat16"})"));
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

TEST(RewriteConfig, KeepsPythonsNumbers) {
  EXPECT_EQ(Rewritten(R"({"limit": [NaN, Infinity, -Infinity], "x": "NaN \"Infinity", "y": 7.1e-11,
                          "torch_dtype": "float32"})"),
            "{\n  \"limit\": [\n    NaN,\n    Infinity,\n    -Infinity\n  ],\n"
            "  \"x\": \"NaN \\\"Infinity\",\n  \"y\": 7.1e-11,\n"
            "  \"torch_dtype\": \"bfloat16\"\n}\n");
  // What no Python writes is no number either.
  for (const char* text : {"{\"a\": -NaN}", "{\"a\": NaNa}", "{\"a\": Infinit}"}) {
    EXPECT_FALSE(RewriteConfig(text, "bfloat16", "config.json").ok()) << text;
  }
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

// Of the three layers of the reference: 2 1 1 0.
ConfigChanges SomeLayers() {
  ConfigChanges layers;
  layers.reference_layers = 3;
  layers.origins = {2, 1, 1, 0};
  return layers;
}

std::string WithLayers(const std::string& text, const ConfigChanges& layers = SomeLayers()) {
  const auto out = RewriteConfig(text, "", "config.json", layers);
  EXPECT_TRUE(out.ok()) << out.status();
  return out.ok() ? *out : "";
}

TEST(RewriteConfig, LayersAreCountedAtTheTopAndInTheTextConfig) {
  EXPECT_EQ(WithLayers(R"({"num_hidden_layers": 3, "x": 3})"),
            "{\n  \"num_hidden_layers\": 4,\n  \"x\": 3\n}\n");
  EXPECT_EQ(WithLayers(R"({"text_config": {"num_hidden_layers": 3},
                           "vision_config": {"num_hidden_layers": 3}})"),
            "{\n  \"text_config\": {\n    \"num_hidden_layers\": 4\n  },\n"
            "  \"vision_config\": {\n    \"num_hidden_layers\": 3\n  }\n}\n");
  const auto missing = RewriteConfig("{}", "", "/m/config.json", SomeLayers());
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("/m/config.json: key 'num_hidden_layers': missing"));
}

TEST(RewriteConfig, ListsWithAnEntryALayerFollowTheirLayers) {
  EXPECT_EQ(WithLayers(R"({"layer_types": ["a", "b", "c"], "num_hidden_layers": 3})"),
            "{\n  \"layer_types\": [\n    \"c\",\n    \"b\",\n    \"b\",\n    \"a\"\n  ],\n"
            "  \"num_hidden_layers\": 4\n}\n");
  // Entries of any kind; white space is not kept.
  EXPECT_EQ(WithLayers(R"({"num_hidden_layers": 3, "blocks": [{"n": 1e-06}, [2, 3], {}]})"),
            "{\n  \"num_hidden_layers\": 4,\n  \"blocks\": [\n    {},\n    [\n      2,\n      3\n"
            "    ],\n    [\n      2,\n      3\n    ],\n    {\n      \"n\": 1e-06\n    }\n  ]\n}\n");
}

TEST(RewriteConfig, OtherListsAreKept) {
  const std::string text =
      "{\n  \"architectures\": [\n    \"A\",\n    \"B\",\n    \"C\"\n  ],\n"
      "  \"eos_token_id\": [\n    1,\n    2,\n    3\n  ],\n  \"two\": [\n    1,\n    2\n  ],\n"
      "  \"none\": [],\n  \"rope\": {\n    \"factors\": [\n      1,\n      2,\n      3\n    ]\n"
      "  },\n  \"num_hidden_layers\": 4\n}\n";
  EXPECT_EQ(WithLayers(text), text);
}

TEST(RewriteConfig, ListsOfLayersAreNumberedAnew) {
  EXPECT_EQ(WithLayers(R"({"mlp_only_layers": [1, 2], "num_hidden_layers": 3})"),
            "{\n  \"mlp_only_layers\": [\n    0,\n    1,\n    2\n  ],\n"
            "  \"num_hidden_layers\": 4\n}\n");
  ConfigChanges first;
  first.reference_layers = 3;
  first.origins = {0};
  EXPECT_EQ(WithLayers(R"({"mlp_only_layers": [1], "num_hidden_layers": 3})", first),
            "{\n  \"mlp_only_layers\": [],\n  \"num_hidden_layers\": 1\n}\n");
}

TEST(RewriteConfig, AListThatLacksALayerIsNamed) {
  ConfigChanges layers = SomeLayers();
  layers.origins.push_back(5);
  const auto out = RewriteConfig(R"({"layer_types": [1, 2, 3], "num_hidden_layers": 3})", "",
                                 "/m/config.json", layers);
  EXPECT_THAT(std::string(out.status().message()),
              HasSubstr("/m/config.json: key 'layer_types': found 3 entries, expected one for "
                        "layer 5"));
}

TEST(RewriteConfig, WarnsOfKeysThatPlaceLayersByTheirNumber) {
  const auto warnings = [](const std::string& text, std::vector<uint64_t> origins) {
    ConfigChanges layers;
    layers.reference_layers = 8;
    layers.origins = std::move(origins);
    ConfigRemarks found;
    const auto out = RewriteConfig(text, "bfloat16", "config.json", layers, &found);
    EXPECT_TRUE(out.ok()) << out.status();
    return found.warnings;
  };
  const std::string text =
      R"({"num_hidden_layers": 8, "first_k_dense_replace": 2, "full_attention_interval": 2})";
  EXPECT_THAT(warnings(text, {0, 1, 2, 3}), ElementsAre());
  EXPECT_THAT(warnings(text, {0, 3, 4}), ElementsAre(HasSubstr("it fits, as the slices")));
  EXPECT_THAT(warnings(text, {0, 2, 3}), ElementsAre(HasSubstr("'full_attention_interval' tells")));
  EXPECT_THAT(warnings(text, {0, 3, 0}), ElementsAre(HasSubstr("'first_k_dense_replace' tells"),
                                                     HasSubstr("it fits, as the slices")));
}

TEST(RewriteConfig, TellsWhetherEmbeddingsAreTied) {
  const auto tie = [](const std::string& text, bool tied) {
    ConfigChanges changes;
    changes.tie_word_embeddings = tied;
    const auto out = RewriteConfig(text, "", "config.json", changes);
    EXPECT_TRUE(out.ok()) << out.status();
    return out.value_or("");
  };
  EXPECT_EQ(tie("{\"a\": 1}", false), "{\n  \"a\": 1,\n  \"tie_word_embeddings\": false\n}\n");
  EXPECT_EQ(tie("{\"tie_word_embeddings\": true, \"a\": true}", false),
            "{\n  \"tie_word_embeddings\": false,\n  \"a\": true\n}\n");
  EXPECT_EQ(tie("{\"tie_word_embeddings\": null}", true),
            "{\n  \"tie_word_embeddings\": true\n}\n");
  // Loaders of models with several parts ask the text's config.
  EXPECT_EQ(
      tie("{\"text_config\": {\"tie_word_embeddings\": true}, \"vision_config\": {\"x\": 1}}",
          false),
      "{\n  \"text_config\": {\n    \"tie_word_embeddings\": false\n  },\n  \"vision_config\": {\n"
      "    \"x\": 1\n  },\n  \"tie_word_embeddings\": false\n}\n");
  // With a dtype that has to be added as well.
  ConfigChanges changes;
  changes.tie_word_embeddings = false;
  const auto both = RewriteConfig("{\"tie_word_embeddings\": true}", "float16", "c", changes);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(*both, "{\n  \"tie_word_embeddings\": false,\n  \"torch_dtype\": \"float16\"\n}\n");
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
