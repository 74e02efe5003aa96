#include "common/recipe/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Recipe Parse(const std::string& text) {
  absl::StatusOr<Recipe> recipe = ParseRecipe(text, "r.yaml");
  EXPECT_TRUE(recipe.ok()) << recipe.status() << "\n" << text;
  return recipe.ok() ? *std::move(recipe) : Recipe();
}

RecipeValue Parameter(const std::string& written) {
  const Recipe recipe = Parse("merge_method: m\nmodels: [a]\nparameters:\n  p: " + written + "\n");
  const auto found = recipe.parameters.find("p");
  return found == recipe.parameters.end() ? RecipeValue{} : found->second;
}

TEST(Recipe, ReadsTheDocumentedExample) {
  const std::string text = R"(merge_method: resmerge
base_model: /models/qwen2.5-7b            # path, file:// or s3:// URI
models:
  - model: /models/qwen2.5-7b-rl-math
  - model: /models/qwen2.5-7b-rl-code
parameters: { rank_topk: 1, head_ratio_budget: 0.2, scope: tensor }
out_dtype: bfloat16
)";
  const Recipe recipe = Parse(text);
  EXPECT_EQ(recipe.source_name, "r.yaml");
  EXPECT_EQ(recipe.text, text);
  EXPECT_EQ(recipe.merge_method, "resmerge");
  EXPECT_EQ(recipe.method_line, 1);
  EXPECT_EQ(recipe.base_model, "/models/qwen2.5-7b");
  EXPECT_EQ(recipe.base_line, 2);
  ASSERT_EQ(recipe.models.size(), 2u);
  EXPECT_EQ(recipe.models[0].model, "/models/qwen2.5-7b-rl-math");
  EXPECT_EQ(recipe.models[0].line, 4);
  EXPECT_EQ(recipe.models[1].line, 5);
  EXPECT_EQ(std::get<double>(recipe.parameters.at("rank_topk").value), 1.0);
  EXPECT_EQ(std::get<double>(recipe.parameters.at("head_ratio_budget").value), 0.2);
  EXPECT_EQ(std::get<std::string>(recipe.parameters.at("scope").value), "tensor");
  EXPECT_EQ(recipe.parameters.at("scope").line, 6);
  EXPECT_EQ(recipe.out_dtype, DType::kBF16);
  EXPECT_EQ(recipe.max_shard_size, 5'000'000'000u);
  EXPECT_TRUE(recipe.notes.empty());
}

TEST(Recipe, ReadsAMergekitFile) {
  const Recipe recipe = Parse(R"(
models:
  - model: mistralai/Mistral-7B-v0.1
  - model: org/expert
    parameters:
      density: 0.5
      weight: 0.3
merge_method: ties
base_model: mistralai/Mistral-7B-v0.1
tokenizer_source: base
parameters:
  normalize: true
  int8_mask: true
dtype: float16
)");
  EXPECT_EQ(recipe.models[1].parameters.size(), 2u);
  EXPECT_EQ(recipe.models[1].parameters.at("weight").line, 7);
  EXPECT_TRUE(std::get<bool>(recipe.parameters.at("normalize").value));
  EXPECT_FALSE(recipe.parameters.contains("int8_mask"));
  EXPECT_EQ(recipe.out_dtype, DType::kF16);
  EXPECT_THAT(
      recipe.notes,
      ElementsAre("r.yaml:10: key 'tokenizer_source': accepted, but it has no effect here",
                  "r.yaml:13: key 'parameters.int8_mask': accepted, but it has no effect here"));
}

TEST(Recipe, OutDtypeWinsOverDtypeInAnyOrder) {
  EXPECT_EQ(Parse("merge_method: m\nmodels: [a]\ndtype: float32\nout_dtype: float16\n").out_dtype,
            DType::kF16);
  EXPECT_EQ(Parse("out_dtype: float16\ndtype: float32\nmerge_method: m\nmodels: [a]\n").out_dtype,
            DType::kF16);
  EXPECT_EQ(Parse("dtype: float64\nmerge_method: m\nmodels: [a]\n").out_dtype, DType::kF64);
  EXPECT_EQ(Parse("merge_method: m\nmodels: [a]\n").out_dtype, std::nullopt);
}

TEST(Recipe, EmptyOptionalKeysAreAsIfLeftOut) {
  const Recipe recipe = Parse(
      "merge_method: m\nmodels:\n  - model: a\n    parameters:\nbase_model:\nparameters: ~\n"
      "dtype: null\nout_dtype:\ntokenizer_source:\n");
  EXPECT_EQ(recipe.base_model, std::nullopt);
  EXPECT_TRUE(recipe.parameters.empty());
  EXPECT_TRUE(recipe.notes.empty());
}

TEST(Recipe, ModelsMayBeWrittenInEveryForm) {
  const Recipe recipe = Parse(R"(merge_method: m
base_model: {model: {path: /models/a+b@c, revision: null}}
models:
  - /models/plain
  - model: s3://bucket/x@y+z
  - model: {path: "/models/with+plus"}
  - model: {model: {path: /deep}, lora: null}
  - model: {model: /shallow}
  - "2024"
  - /models/plain
)");
  EXPECT_EQ(recipe.base_model, "/models/a+b@c");
  std::vector<std::string> models;
  for (const RecipeModel& model : recipe.models) models.push_back(model.model);
  EXPECT_THAT(models, ElementsAre("/models/plain", "s3://bucket/x@y+z", "/models/with+plus",
                                  "/deep", "/shallow", "2024", "/models/plain"));
}

TEST(Recipe, ShardSizes) {
  const auto size = [](const std::string& written) {
    return Parse("merge_method: m\nmodels: [a]\nmax_shard_size: " + written + "\n").max_shard_size;
  };
  EXPECT_EQ(size("5GB"), 5'000'000'000u);
  EXPECT_EQ(size("\"2GiB\""), 2ull << 30);
  EXPECT_EQ(size("1000000"), 1'000'000u);
}

TEST(Recipe, ScalarsAreWhatYamlSays) {
  EXPECT_EQ(std::get<double>(Parameter("1").value), 1.0);
  EXPECT_EQ(std::get<double>(Parameter("-0.5").value), -0.5);
  EXPECT_EQ(std::get<double>(Parameter("+.5").value), 0.5);
  EXPECT_EQ(std::get<double>(Parameter("5.").value), 5.0);
  EXPECT_EQ(std::get<double>(Parameter("1e-3").value), 1e-3);
  EXPECT_EQ(std::get<double>(Parameter("1.5E+3").value), 1500.0);
  EXPECT_EQ(std::get<double>(Parameter("0").value), 0.0);
  EXPECT_EQ(std::get<double>(Parameter("0.1").value), 0.1);
  EXPECT_EQ(std::get<double>(Parameter("!!float 3").value), 3.0);
  EXPECT_EQ(std::get<double>(Parameter("9007199254740993").value), 9007199254740992.0);
  for (const char* yes : {"true", "True", "TRUE", "yes", "on", "On"}) {
    EXPECT_TRUE(std::get<bool>(Parameter(yes).value)) << yes;
  }
  for (const char* no : {"false", "False", "FALSE", "no", "off", "OFF"}) {
    EXPECT_FALSE(std::get<bool>(Parameter(no).value)) << no;
  }
  for (const char* text : {"\"1\"", "'true'", "tensor", "1e", "1.2.3", ".", "e5", "0x10", "1_000",
                           "12:30", "tRue", "nan", "inf", "!!str 5", "\"\"", "!!str true"}) {
    EXPECT_TRUE(std::holds_alternative<std::string>(Parameter(text).value)) << text;
  }
  EXPECT_EQ(std::get<std::string>(Parameter("\"1\"").value), "1");
}

TEST(Recipe, AliasesAndMergeKeys) {
  const Recipe recipe = Parse(R"(merge_method: ties
models:
  - model: a
    parameters: &p {weight: 0.5, density: 0.1}
  - model: b
    parameters: *p
  - model: c
    parameters:
      <<: *p
      weight: 0.9
)");
  EXPECT_EQ(std::get<double>(recipe.models[1].parameters.at("weight").value), 0.5);
  EXPECT_EQ(recipe.models[1].parameters.at("weight").line, 4);
  EXPECT_EQ(std::get<double>(recipe.models[2].parameters.at("weight").value), 0.9);
  EXPECT_EQ(std::get<double>(recipe.models[2].parameters.at("density").value), 0.1);
  EXPECT_EQ(recipe.models[2].parameters.size(), 2u);
}

TEST(Recipe, ToleratesDirectivesMarkersAndABom) {
  Parse("\xEF\xBB\xBF%YAML 1.2\n---\nmerge_method: m\nmodels: [a]\n...\n");
  Parse("# comment\r\nmerge_method: m\r\nmodels:\r\n- a\r\n");
  Parse("{\"merge_method\": \"m\", \"models\": [\"a\"], \"parameters\": {\"x\": 1}}");
}

}  // namespace
}  // namespace merganser
