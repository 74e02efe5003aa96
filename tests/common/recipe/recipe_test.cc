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

// The one value of a parameter without conditions or gradient.
const RecipeValue& One(const RecipeSetting& setting) {
  EXPECT_TRUE(setting.IsPlain());
  return setting.conditions.at(0).values.at(0);
}

RecipeValue Parameter(const std::string& written) {
  const Recipe recipe = Parse("merge_method: m\nmodels: [a]\nparameters:\n  p: " + written + "\n");
  const auto found = recipe.parameters.find("p");
  return found == recipe.parameters.end() ? RecipeValue{} : One(found->second);
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
  EXPECT_EQ(std::get<double>(One(recipe.parameters.at("rank_topk")).value), 1.0);
  EXPECT_EQ(std::get<double>(One(recipe.parameters.at("head_ratio_budget")).value), 0.2);
  EXPECT_EQ(std::get<std::string>(One(recipe.parameters.at("scope")).value), "tensor");
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
  EXPECT_TRUE(std::get<bool>(One(recipe.parameters.at("normalize")).value));
  EXPECT_FALSE(recipe.parameters.contains("int8_mask"));
  EXPECT_EQ(recipe.out_dtype, DType::kF16);
  ASSERT_TRUE(recipe.tokenizer.has_value());
  EXPECT_TRUE(recipe.tokenizer->base);
  EXPECT_EQ(recipe.tokenizer->line, 10);
  EXPECT_THAT(
      recipe.notes,
      ElementsAre("r.yaml:13: key 'parameters.int8_mask': accepted, but it has no effect here"));
}

TEST(Recipe, OutDtypeWinsOverDtypeInAnyOrder) {
  EXPECT_EQ(Parse("merge_method: m\nmodels: [a]\ndtype: float32\nout_dtype: float16\n").out_dtype,
            DType::kF16);
  EXPECT_EQ(Parse("out_dtype: float16\ndtype: float32\nmerge_method: m\nmodels: [a]\n").out_dtype,
            DType::kF16);
  EXPECT_EQ(Parse("dtype: float64\nmerge_method: m\nmodels: [a]\n").out_dtype, DType::kF64);
  EXPECT_EQ(Parse("dtype: torch.float16\nmerge_method: m\nmodels: [a]\n").out_dtype, DType::kF16);
  EXPECT_EQ(Parse("merge_method: m\nmodels: [a]\n").out_dtype, std::nullopt);
}

TEST(Recipe, WhatProductsOfAdaptersAreRoundedTo) {
  const auto dtype = [](const std::string& line) {
    return Parse("merge_method: m\nmodels: [a]\n" + line + "\n").lora_dtype;
  };
  EXPECT_EQ(dtype("lora_dtype: bfloat16"), DType::kBF16);
  EXPECT_EQ(dtype("lora_dtype: torch.float16"), DType::kF16);
  EXPECT_EQ(dtype("lora_dtype: float32"), std::nullopt);
  EXPECT_EQ(dtype("lora_dtype:"), std::nullopt);
  EXPECT_EQ(dtype(""), std::nullopt);
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

TEST(Recipe, LocationsHoldNoSecret) {
  for (const std::string model :
       {"https://user:secret@host/a", "https://host/a?signature=secret", "hf://secret@org/name",
        "{path: \"https://user:secret@host/a\"}", "s3://secret@bucket/a"}) {
    for (const std::string& text :
         {"merge_method: m\nmodels:\n  - model: " + model + "\n",
          "merge_method: m\nmodels: [a]\nbase_model: " + model + "\n",
          "merge_method: m\nmodels: [a]\ntokenizer_source: " + model + "\n"}) {
      const absl::Status status = ParseRecipe(text, "r.yaml").status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
      EXPECT_THAT(
          std::string(status.message()),
          testing::AllOf(testing::HasSubstr("r.yaml:"), testing::HasSubstr("found a location with"),
                         testing::Not(testing::HasSubstr("secret"))));
    }
  }
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
  EXPECT_EQ(std::get<double>(One(recipe.models[1].parameters.at("weight")).value), 0.5);
  EXPECT_EQ(recipe.models[1].parameters.at("weight").line, 4);
  EXPECT_EQ(std::get<double>(One(recipe.models[2].parameters.at("weight")).value), 0.9);
  EXPECT_EQ(std::get<double>(One(recipe.models[2].parameters.at("density")).value), 0.1);
  EXPECT_EQ(recipe.models[2].parameters.size(), 2u);
}

TEST(Recipe, GradientsAndFilters) {
  const Recipe recipe = Parse(R"(merge_method: m
models: [a]
parameters:
  flat: [0.5]
  gradient: [0, 0.25, 1]
  filtered:
    - filter: mlp
      value: [1, 2]
    - {filter: self_attn, value: true}
    - {filter: "*", value: tensor}
    - value: 3
  open:
    - {filter: "7", value: 1}
  null_filter: [{filter: ~, value: 1}]
)");
  const auto at = [&](const char* key) -> const RecipeSetting& {
    return recipe.parameters.at(key);
  };
  EXPECT_TRUE(at("flat").IsPlain());
  const RecipeSetting& gradient = at("gradient");
  EXPECT_FALSE(gradient.IsPlain());
  EXPECT_EQ(gradient.line, 5);
  ASSERT_EQ(gradient.conditions.size(), 1u);
  ASSERT_EQ(gradient.conditions[0].values.size(), 3u);
  EXPECT_EQ(std::get<double>(gradient.conditions[0].values[1].value), 0.25);

  const RecipeSetting& filtered = at("filtered");
  ASSERT_EQ(filtered.conditions.size(), 4u);
  EXPECT_EQ(filtered.conditions[0].filter, "mlp");
  EXPECT_EQ(filtered.conditions[0].values.size(), 2u);
  EXPECT_EQ(filtered.conditions[1].line, 9);
  EXPECT_EQ(filtered.conditions[2].filter, "");
  EXPECT_EQ(filtered.Match("model.layers.0.mlp.up_proj.weight"), &filtered.conditions[0]);
  EXPECT_EQ(filtered.Match("model.layers.0.self_attn.mlp"), &filtered.conditions[0]);
  EXPECT_EQ(filtered.Match("model.layers.0.self_attn.q"), &filtered.conditions[1]);
  EXPECT_EQ(filtered.Match("model.norm.weight"), &filtered.conditions[2]);
  EXPECT_EQ(at("open").Match("model.norm.weight"), nullptr);
  EXPECT_EQ(at("open").Match("model.layers.17.norm"), &at("open").conditions[0]);
  EXPECT_TRUE(at("null_filter").IsPlain());
}

TEST(Recipe, Slices) {
  const Recipe recipe = Parse(R"(merge_method: passthrough
slices:
  - sources:
      - model: a
        layer_range: [0, 4]
        parameters: {scale: 0.5}
      - {model: {path: b}, layer_range: [2, 6]}
    parameters:
      t: [0, 1]
  - sources: [{model: a, layer_range: [3, 3]}]
    residual_weight: 0.1
    base_model:
)");
  EXPECT_TRUE(recipe.models.empty());
  ASSERT_EQ(recipe.slices.size(), 2u);
  const RecipeSlice& slice = recipe.slices[0];
  EXPECT_EQ(slice.line, 3);
  ASSERT_EQ(slice.sources.size(), 2u);
  EXPECT_EQ(slice.sources[0].model, "a");
  EXPECT_EQ(slice.sources[0].end, 4u);
  EXPECT_EQ(std::get<double>(One(slice.sources[0].parameters.at("scale")).value), 0.5);
  EXPECT_EQ(slice.sources[1].model, "b");
  EXPECT_EQ(slice.sources[1].begin, 2u);
  EXPECT_EQ(slice.sources[1].end, 6u);
  EXPECT_EQ(slice.sources[1].line, 7);
  EXPECT_TRUE(slice.parameters.contains("t"));
  EXPECT_EQ(recipe.slices[1].sources[0].begin, 3u);
  EXPECT_THAT(recipe.notes, ElementsAre(HasSubstr("r.yaml:11: key 'slices[1].residual_weight'")));
}

TEST(Recipe, Tokenizers) {
  const auto of = [](const std::string& written) {
    return Parse("merge_method: m\nmodels: [a]\ntokenizer_source: " + written + "\n").tokenizer;
  };
  EXPECT_TRUE(of("base")->base);
  EXPECT_FALSE(of("org/name")->base);
  EXPECT_EQ(of("org/name")->model, "org/name");
  EXPECT_EQ(of("{path: base}")->model, "base");
  EXPECT_FALSE(of("{path: base}")->base);
  EXPECT_FALSE(of("~").has_value());
}

TEST(Recipe, SettingsOfMergekitsProgramAreAcceptedWithANote) {
  const Recipe recipe = Parse(
      "merge_method: m\nmodels: [a]\nrandom_seed: 7\nint8_mask: true\nchat_template:\n"
      "modules: ~\n");
  EXPECT_THAT(recipe.notes, ElementsAre(HasSubstr("r.yaml:3: key 'random_seed'"),
                                        HasSubstr("r.yaml:4: key 'int8_mask'")));
}

TEST(Recipe, TheModuleThatMergekitCallsDefaultIsTheRecipe) {
  const Recipe recipe = Parse(R"(merge_method: m
modules:
  default:
    models: [a, {model: b, parameters: {weight: 2}}]
    parameters:
      weight: [{filter: mlp, value: 3}]
      lambda: 0.5
parameters: {weight: 4, lambda: 1, normalize: 1.0}
)");
  ASSERT_EQ(recipe.models.size(), 2u);
  EXPECT_EQ(std::get<double>(One(recipe.parameters.at("lambda")).value), 0.5);
  // Where no filter of the module is met, the recipe's own decides.
  const RecipeSetting& weight = recipe.parameters.at("weight");
  ASSERT_EQ(weight.conditions.size(), 2u);
  EXPECT_EQ(weight.conditions[0].filter, "mlp");
  EXPECT_EQ(std::get<double>(weight.conditions[1].values[0].value), 4);
  EXPECT_TRUE(recipe.parameters.contains("normalize"));
  EXPECT_TRUE(recipe.notes.empty());
}

TEST(Recipe, RevisionsAreOfTheHub) {
  const Recipe recipe = Parse(
      "merge_method: m\nmodels: [org/name@dpo-v0, {model: {path: org/name, revision: refs/pr/1}}]\n"
      "base_model: {model: {path: org/base, revision: null}}\n");
  EXPECT_EQ(recipe.models[0].model, "org/name@dpo-v0");
  EXPECT_EQ(recipe.models[1].model, "org/name@refs/pr/1");
  EXPECT_EQ(recipe.base_model, "org/base");
}

TEST(Recipe, ABaseOfEverySliceIsTheRecipes) {
  const std::string slice = "  - {sources: [{model: a, layer_range: [0, 2]}], base_model: ";
  const Recipe recipe = Parse("merge_method: m\nslices:\n" + slice + "b}\n" + slice + "b}\n");
  EXPECT_EQ(recipe.base_model, "b");
  EXPECT_EQ(recipe.base_line, 3);
  EXPECT_EQ(Parse("merge_method: m\nslices:\n" + slice + "b}\n" + slice + "c}\n").base_model,
            std::nullopt);
}

TEST(Recipe, WhatMergekitIgnoresIsAWarningThatNamesBothSides) {
  const Recipe recipe = Parse(
      "merge_method: m\nmodels:\n- model: a\n  revision: dpo\nmodel_title: x\n"
      "pad_to_multiple_of: 8\ntokenizer: {source: base}\n"
      "select_topk: 0.1\n");
  EXPECT_THAT(recipe.warnings,
              ElementsAre(testing::AllOf(HasSubstr("r.yaml:4: key 'models[0].revision'"),
                                         HasSubstr("mergekit ignores it here"),
                                         HasSubstr("org/name@REVISION")),
                          HasSubstr("r.yaml:5: key 'model_title': unknown: mergekit ignores it"),
                          HasSubstr("r.yaml:6: key 'pad_to_multiple_of': found 8"),
                          testing::AllOf(HasSubstr("r.yaml:8: key 'select_topk'"),
                                         HasSubstr("put it under 'parameters'"))));
  EXPECT_TRUE(recipe.notes.empty());
}

TEST(Recipe, RulesForSingleTokens) {
  const auto of = [](const std::string& rule) {
    const Recipe recipe =
        Parse("merge_method: m\nmodels: [a]\ntokenizer:\n  tokens:\n    <t>: " + rule + "\n");
    EXPECT_TRUE(recipe.notes.empty() && recipe.warnings.empty());
    EXPECT_EQ(recipe.tokenizer->rules.size(), 1u) << rule;
    return recipe.tokenizer->rules.at(0);
  };
  using Kind = TokenRule::Kind;
  const TokenRule model = of("{source: org/name@dpo}");
  EXPECT_EQ(model.token, "<t>");
  EXPECT_EQ(model.line, 5);
  EXPECT_EQ(model.kind, Kind::kModel);
  EXPECT_EQ(model.model, "org/name@dpo");
  EXPECT_FALSE(model.force);
  EXPECT_EQ(of("{source: {model: {path: b}}, force: true}").model, "b");
  EXPECT_TRUE(of("{source: {path: b}, force: true}").force);
  EXPECT_TRUE(of("{source: b, force: 1.0}").force);
  EXPECT_FALSE(of("{source: b, force: 0.0}").force);
  const TokenRule token = of("{source: {kind: model_token, model: {path: b}, token: <|im_end|>}}");
  EXPECT_EQ(token.kind, Kind::kModelToken);
  EXPECT_EQ(token.model, "b");
  EXPECT_EQ(token.source_token, "<|im_end|>");
  EXPECT_FALSE(token.source_token_id.has_value());
  // A token that looks like a number is one all the same.
  EXPECT_EQ(of("{source: {kind: model_token, model: b, token: 7}}").source_token, "7");
  const TokenRule number = of("{source: {kind: model_token, model: b, token_id: 128009}}");
  EXPECT_EQ(number.source_token_id, 128009u);
  EXPECT_FALSE(number.source_token.has_value());
  EXPECT_EQ(
      of("{source: {kind: model_token, model: b, token: ~, token_id: \"7\"}}").source_token_id, 7u);
  EXPECT_EQ(of("{source: {kind: zero}}").kind, Kind::kZero);
  EXPECT_EQ(of("{source: ~}").kind, Kind::kNone);
  EXPECT_EQ(of("{}").kind, Kind::kNone);
}

TEST(Recipe, RowsAreALittleMoreThanTheTokens) {
  const auto of = [](const std::string& line) {
    const Recipe recipe = Parse("merge_method: m\nmodels: [a]\n" + line + "\n");
    EXPECT_TRUE(recipe.notes.empty() && recipe.warnings.empty());
    return recipe.tokenizer->pad_to_multiple_of;
  };
  EXPECT_EQ(of("tokenizer: {pad_to_multiple_of: 64}"), 64u);
  EXPECT_EQ(of("tokenizer: {pad_to_multiple_of: \"64\"}"), 64u);
  // Everything is a multiple of these.
  EXPECT_EQ(of("tokenizer: {pad_to_multiple_of: 0}"), 0u);
  EXPECT_EQ(of("tokenizer: {pad_to_multiple_of: 1}"), 0u);
  EXPECT_EQ(of("tokenizer: {pad_to_multiple_of: ~}"), 0u);
}

TEST(Recipe, TokenizerMapsAndTemplates) {
  const auto of = [](const std::string& line) {
    return Parse("merge_method: m\nmodels: [a]\n" + line + "\n");
  };
  EXPECT_EQ(of("tokenizer: {source: b}").tokenizer->model, "b");
  EXPECT_EQ(of("tokenizer: {source: b}").tokenizer->key, "tokenizer.source");
  EXPECT_TRUE(of("tokenizer: {source: base, tokens: {}}").tokenizer->base);
  EXPECT_FALSE(of("tokenizer: {source: base}").tokenizer->any);
  for (const char* all : {"tokenizer: {}", "tokenizer: {source: union}", "tokenizer_source: union",
                          "tokenizer: {source: ~}"}) {
    EXPECT_TRUE(of(all).tokenizer->any) << all;
  }
  EXPECT_FALSE(of("tokenizer:").tokenizer.has_value());
  EXPECT_EQ(of("chat_template: llama3").chat_template->value, "llama3");
  EXPECT_EQ(of("chat_template: '{{ messages[0].content }}'").chat_template->line, 3);
  EXPECT_FALSE(of("chat_template: ''").chat_template.has_value());
}

TEST(Recipe, EmptyDocumentsDoNotCount) {
  EXPECT_EQ(Parse("---\nmerge_method: m\nmodels: [a]\n---\n").merge_method, "m");
  EXPECT_EQ(Parse("---\n---\nmerge_method: m\nmodels: [a]\n").merge_method, "m");
}

TEST(Recipe, ToleratesDirectivesMarkersAndABom) {
  Parse("\xEF\xBB\xBF%YAML 1.2\n---\nmerge_method: m\nmodels: [a]\n...\n");
  Parse("# comment\r\nmerge_method: m\r\nmodels:\r\n- a\r\n");
  Parse("{\"merge_method\": \"m\", \"models\": [\"a\"], \"parameters\": {\"x\": 1}}");
}

}  // namespace
}  // namespace merganser
