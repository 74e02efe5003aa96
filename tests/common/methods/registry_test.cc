// What a user may write into a recipe, and what is said about what may not.
#include "common/methods/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/methods/parameters.h"
#include "common/recipe/recipe.h"
#include "common/recipe/recipe_keys.h"
#include "tests/common/methods/run_method.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::SizeIs;

// "./base" and "base" are one model.
std::string Canonical(const std::string& model) {
  return model.rfind("./", 0) == 0 ? model.substr(2) : model;
}

absl::StatusOr<ResolvedMethod> Resolve(std::string_view yaml) {
  const absl::StatusOr<Recipe> recipe = ParseRecipe(yaml, "r.yaml");
  EXPECT_TRUE(recipe.ok()) << recipe.status();
  if (!recipe.ok()) return recipe.status();
  return ResolveMethod(*recipe, Canonical);
}

struct ErrorCase {
  std::string_view name;
  std::string_view yaml;
  std::vector<std::string> parts;  // of the message
};

void PrintTo(const ErrorCase& c, std::ostream* out) { *out << c.name; }

class RecipeErrorTest : public testing::TestWithParam<ErrorCase> {};

TEST_P(RecipeErrorTest, IsOneLineThatNamesWhatWasFoundAndExpected) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(GetParam().yaml);
  ASSERT_FALSE(resolved.ok());
  EXPECT_EQ(resolved.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(resolved.status().message());
  for (const std::string& part : GetParam().parts) EXPECT_THAT(message, HasSubstr(part));
  EXPECT_THAT(message, testing::StartsWith("r.yaml"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
}

constexpr std::string_view kTwoModels = "base_model: base\nmodels: [a, b]\n";

const ErrorCase kErrors[] = {
    {"UnknownMethodListsThoseThereAre",
     "models: [a]\nmerge_method: resmrege\n",
     {"r.yaml:2: key 'merge_method'", "found \"resmrege\"", "expected one of: resmerge, ",
      "linear, task_arithmetic"}},
    {"UnknownParameterNamesTheNearest",
     "merge_method: resmerge\nbase_model: base\nmodels: [a, b]\nparameters:\n  rank_top: 1\n",
     {"r.yaml:5: key 'parameters.rank_top'", "unknown to resmerge", "did you mean 'rank_topk'?"}},
    {"RequiredParameterUnderAModel",
     "merge_method: slerp\nbase_model: base\nmodels:\n- model: a\n  parameters:\n    t: 0.5\n",
     {"r.yaml:6: key 'parameters.t'", "found under a model", "recipe's own parameters"}},
    {"TextForANumber",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters:\n  src_beta_min: low\n",
     {"r.yaml:5: key 'parameters.src_beta_min'", "found \"low\"",
      "expected a number from 0 to 10"}},
    {"BooleanForANumber",
     "merge_method: task_arithmetic\nbase_model: base\nmodels: [a]\nparameters: {lambda: true}\n",
     {"r.yaml:4: key 'parameters.lambda'", "found true", "expected a number"}},
    {"QuotedFractionForAWholeNumber",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters: {rank_topk: \"1.5\"}\n",
     {"key 'parameters.rank_topk'", "found \"1.5\"", "expected a whole number"}},
    {"QuotedInfinity",
     "merge_method: task_arithmetic\nbase_model: base\nmodels: [a]\nparameters: {lambda: "
     "\"-inf\"}\n",
     {"key 'parameters.lambda'", "found \"-inf\"", "expected a number"}},
    {"FractionForAWholeNumber",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters: {rank_topk: 1.5}\n",
     {"found 1.5", "expected a whole number from 1 to 16"}},
    {"BelowTheRange",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters: {rank_topk: 0}\n",
     {"found 0", "expected a whole number from 1 to 16"}},
    {"AboveTheRange",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters: {rank_topk: 17}\n",
     {"found 17", "expected a whole number from 1 to 16"}},
    {"NegativeHeadBudget",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters: {head_ratio_budget: -1}\n",
     {"key 'parameters.head_ratio_budget'", "found -1"}},
    {"NumberForABoolean",
     "merge_method: linear\nmodels: [a]\nparameters: {weight: 1, normalize: 2}\n",
     {"r.yaml:3: key 'parameters.normalize'", "found 2", "expected true or false"}},
    {"MissingBaseOfSlerp",
     "merge_method: slerp\nmodels: [a, b]\nparameters: {t: 0.5}\n",
     {"r.yaml:1: key 'base_model': missing", "the one at t = 0"}},
    {"AnotherBaseInASlice",
     "merge_method: slerp\nbase_model: base\nslices:\n- sources:\n"
     "  - {model: base, layer_range: [0, 2]}\n  - {model: a, layer_range: [0, 2]}\n"
     "  base_model: a\nparameters: {t: 0.5}\n",
     {"r.yaml:7: key 'slices[0].base_model': found a", "expected base, the recipe's own"}},
    {"BasesOfSlicesThatDiffer",
     "merge_method: slerp\nslices:\n- sources: [{model: a, layer_range: [0, 2]}]\n  base_model: a\n"
     "- sources: [{model: b, layer_range: [0, 2]}]\n  base_model: b\nparameters: {t: 0.5}\n",
     {"key 'base_model': missing"}},
    {"ScopeThatDoesNotExist",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters: {scope: galaxy}\n",
     {"r.yaml:4: key 'parameters.scope'", "found \"galaxy\"", "expected one of: tensor"}},
    {"RolesThatDoNotExist",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters: {roles: authors}\n",
     {"r.yaml:4: key 'parameters.roles'", "found \"authors\"",
      "expected one of: structure, release"}},
    {"NumberForAChoice",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters: {scope: 1}\n",
     {"key 'parameters.scope'", "found 1", "expected one of: tensor"}},
    {"MissingWeightOfLinear",
     "models: [a, b]\nmerge_method: linear\n",
     {"r.yaml:2", "weight", "missing", "under every model, or one for all"}},
    {"MissingWeightOfOneModel",
     "merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n",
     {"weight", "missing"}},
    {"MissingBase",
     "models: [a, b]\nmerge_method: resmerge\n",
     {"r.yaml:2: key 'base_model'", "missing", "resmerge"}},
    {"MissingBaseOfTaskArithmetic",
     "merge_method: task_arithmetic\nmodels: [a]\n",
     {"key 'base_model'", "missing"}},
    {"BaseOfLinearThatIsNotListed",
     "merge_method: linear\nbase_model: base\nmodels: [a]\nparameters: {weight: 1}\n",
     {"r.yaml:2: key 'base_model'", "found base", "expected none, or one of the models"}},
    {"OnlyTheBase",
     "merge_method: resmerge\nbase_model: base\nmodels: [base, ./base]\n",
     {"key 'models'", "no model that takes part", "besides the base"}},
    {"AllWeightsZero",
     "merge_method: linear\nmodels: [a, b]\nparameters: {weight: 0}\n",
     {"key 'models'", "no model that takes part", "weight other than 0"}},
    {"WeightsThatSumToZero",
     "merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n"
     "  parameters: {weight: -1}\n",
     {"sum to 0", "normalize: false"}},
    {"SeventeenExperts",
     "merge_method: resmerge\nbase_model: base\n"
     "models: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q]\n",
     {"key 'models'", "found 17 models", "at most 16"}},
    {"MissingTOfSlerp",
     "merge_method: slerp\nbase_model: base\nmodels: [a]\n",
     {"key 'parameters.t'", "missing", "slerp expects a number from 0 to 1"}},
    {"SlerpBeyondTheModel",
     "merge_method: slerp\nbase_model: base\nmodels: [a]\nparameters: {t: 1.5}\n",
     {"r.yaml:4: key 'parameters.t'", "found 1.5", "expected a number from 0 to 1"}},
    {"SlerpOfTwoModels",
     "merge_method: slerp\nbase_model: base\nmodels: [a, b]\nparameters: {t: 0.5}\n",
     {"key 'models'", "found 2 models", "besides the base", "slerp takes exactly 1"}},
    {"NuslerpOfThreeModels",
     "merge_method: nuslerp\nmodels: [a, b, c]\nparameters: {weight: 1}\n",
     {"key 'models'", "found 3 models", "nuslerp takes exactly 2"}},
    {"MultislerpWhoseWeightsCancel",
     "merge_method: multislerp\nmodels:\n- {model: a, parameters: {weight: 1}}\n"
     "- {model: b, parameters: {weight: -1}}\n",
     {"r.yaml", "sum to 0", "normalize_weights: false"}},
    {"ModelStockOfOneModel",
     "merge_method: model_stock\nbase_model: base\nmodels: [base, a]\n",
     {"key 'models'", "found 1 model", "besides the base", "at least 2"}},
    {"PassthroughOfTwoModels",
     "merge_method: passthrough\nmodels: [a, b]\n",
     {"key 'models'", "found 2 models", "passthrough takes exactly 1"}},
    {"KeyWithALineBreak",
     "merge_method: resmerge\nbase_model: base\nmodels: [a]\nparameters: {\"rank\\ntopk\": 1}\n",
     {"unknown to resmerge", "did you mean 'rank_topk'?"}},
    {"MethodWithALineBreak",
     "models: [a]\nmerge_method: \"res\\nmerge\"\n",
     {"key 'merge_method'"}},
    {"BaseWithALineBreak",
     "merge_method: linear\nbase_model: \"ba\\nse\"\nmodels: [a]\nparameters: {weight: 1}\n",
     {"key 'base_model'"}},
};

INSTANTIATE_TEST_SUITE_P(All, RecipeErrorTest, testing::ValuesIn(kErrors),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(ResolveMethodTest, FillsInTheDefaultsOfTheAuthorsRelease) {
  const absl::StatusOr<ResolvedMethod> resolved =
      Resolve("merge_method: resmerge\nbase_model: base\nmodels: [a, b]\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->config.method, "resmerge");
  EXPECT_THAT(resolved->config.numbers,
              ElementsAre(Pair("head_ratio_budget", 0.2), Pair("rank_topk", 1.0),
                          Pair("src_beta_max", 1.0), Pair("src_beta_min", 0.7)));
  EXPECT_THAT(resolved->config.choices,
              ElementsAre(Pair("roles", "structure"), Pair("scope", "tensor")));
  EXPECT_THAT(resolved->config.per_model, SizeIs(2));
  EXPECT_EQ(resolved->base, "base");
  EXPECT_THAT(resolved->models, ElementsAre("a", "b"));
  EXPECT_THAT(resolved->warnings, IsEmpty());
}

TEST(ResolveMethodTest, TakesWhatTheRecipeSays) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: resmerge\nbase_model: base\nmodels: [a]\n"
      "parameters: {rank_topk: 3, src_beta_min: 0.5, head_ratio_budget: 0, scope: tensor}\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->config.numbers.at("rank_topk"), 3);
  EXPECT_EQ(resolved->config.numbers.at("src_beta_min"), 0.5);
  EXPECT_EQ(resolved->config.numbers.at("head_ratio_budget"), 0);
}

TEST(ResolveMethodTest, AModelEqualToTheBaseIsNoExpert) {
  const absl::StatusOr<ResolvedMethod> resolved =
      Resolve("merge_method: resmerge\nbase_model: base\nmodels: [./base, a, base, b]\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->models, ElementsAre("a", "b"));
}

TEST(ResolveMethodTest, TheBaseOfLinearTakesPartWhenListed) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: linear\nbase_model: base\nmodels: [a, ./base]\nparameters: {weight: 1}\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->base, "");
  EXPECT_THAT(resolved->models, ElementsAre("a", "./base"));
}

TEST(ResolveMethodTest, AModelsOwnWeightComesBeforeTheRecipes) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 0.25}\n- model: b\n"
      "parameters: {weight: 2}\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->config.per_model,
              ElementsAre(ElementsAre(Pair("weight", 0.25)), ElementsAre(Pair("weight", 2.0))));
  EXPECT_EQ(resolved->config.numbers.at("normalize"), 1);
}

TEST(ResolveMethodTest, WeightZeroDropsTheModelAndSaysSo) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: task_arithmetic\nbase_model: base\nmodels:\n- model: a\n"
      "  parameters: {weight: 0}\n- model: b\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->models, ElementsAre("b"));
  EXPECT_THAT(resolved->config.per_model, SizeIs(1));
  EXPECT_THAT(resolved->warnings, ElementsAre(AllOf(HasSubstr("model a"), HasSubstr("weight 0"))));
}

// It gives the config, the tokenizer and the order of tensors.
TEST(ResolveMethodTest, WeightZeroDropsNoBase) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: linear\nbase_model: base\nmodels:\n- model: a\n- model: base\n"
      "  parameters: {weight: 0}\n- model: b\nparameters: {weight: 1}\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->models, ElementsAre("a", "base", "b"));
  EXPECT_EQ(resolved->reference, 1u);
  EXPECT_TRUE(resolved->names_base);
  EXPECT_THAT(resolved->warnings, IsEmpty());
}

TEST(ResolveMethodTest, WeightZeroDropsNoModelWhereTheirNumberIsFixed) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: nuslerp\nmodels:\n- model: a\n  parameters: {weight: 0}\n"
      "- {model: b, parameters: {weight: 1}}\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->models, ElementsAre("a", "b"));
  EXPECT_THAT(resolved->warnings, IsEmpty());
}

TEST(ResolveMethodTest, TaskArithmeticHasMergekitsDefaults) {
  const absl::StatusOr<ResolvedMethod> resolved =
      Resolve("merge_method: task_arithmetic\nbase_model: base\nmodels: [a]\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->config.numbers.at("lambda"), 1);
  EXPECT_EQ(resolved->config.numbers.at("normalize"), 0);
  EXPECT_THAT(resolved->config.per_model, ElementsAre(ElementsAre(Pair("weight", 1.0))));
}

TEST(ResolveMethodTest, ParametersOfMergekitWithoutEffectAreAcceptedWithANote) {
  const std::string_view yaml =
      "merge_method: task_arithmetic\nbase_model: base\nmodels:\n- model: a\n"
      "  parameters: {weight: 1, density: 0.5}\nparameters: {int8_mask: true, rescale: true}\n";
  const absl::StatusOr<Recipe> recipe = ParseRecipe(yaml, "r.yaml");
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  const absl::StatusOr<ResolvedMethod> resolved = ResolveMethod(*recipe, Canonical);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  std::vector<std::string> notes = recipe->notes;
  notes.insert(notes.end(), resolved->notes.begin(), resolved->notes.end());
  for (const char* key : {"int8_mask", "density", "rescale"}) {
    EXPECT_THAT(notes, testing::Contains(AllOf(HasSubstr(key), HasSubstr("no effect")))) << key;
  }
  // What has no effect is no part of what decides the bytes.
  EXPECT_FALSE(resolved->config.per_model[0].contains("density"));
}

TEST(ResolveMethodTest, ParametersOfOtherMethodsAreNotesOneAName) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: resmerge\nbase_model: base\nmodels:\n- model: a\n"
      "  parameters: {weight: 2}\n- model: b\n  parameters: {weight: 3}\n"
      "parameters: {normalize: true}\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->warnings, IsEmpty());
  EXPECT_THAT(resolved->notes,
              ElementsAre("r.yaml:8: key 'parameters.normalize': accepted, but it has no effect "
                          "here: resmerge has no such parameter",
                          "r.yaml:5: key 'parameters.weight': accepted, but it has no effect here: "
                          "resmerge has no such parameter (also in line 7)"));
}

TEST(ResolveMethodTest, ParametersOfNoMethodAreWarnings) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: resmerge\nbase_model: base\nmodels: [a, b]\n"
      "parameters: {temperature: 1, filter: mlp}\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->warnings,
              ElementsAre(AllOf(HasSubstr("r.yaml:4: key 'parameters.filter'"),
                                HasSubstr("in a condition of one of them")),
                          AllOf(HasSubstr("r.yaml:4: key 'parameters.temperature'"),
                                HasSubstr("ignored, as by mergekit"), HasSubstr("rank_topk"))));
  EXPECT_THAT(resolved->notes, IsEmpty());
}

TEST(ResolveMethodTest, AParameterForAllModelsUnderOneIsAWarning) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: resmerge\nbase_model: base\nmodels:\n- model: a\n  parameters:\n"
      "    rank_topk: 2\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->warnings,
              ElementsAre(AllOf(HasSubstr("r.yaml:6: key 'parameters.rank_topk'"),
                                HasSubstr("found under a model"), HasSubstr("as by mergekit"))));
  EXPECT_EQ(resolved->config.numbers.at("rank_topk"), 1);
}

TEST(ResolveMethodTest, ParametersOfTheBaseAreANote) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: ties\nbase_model: base\nmodels:\n- model: ./base\n"
      "  parameters: {weight: 2}\n- model: a\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->notes, ElementsAre(AllOf(HasSubstr("r.yaml:5: parameters of ./base"),
                                                 HasSubstr("no effect"))));
}

TEST(ResolveMethodTest, NumbersInQuotesAndBooleansAsNumbers) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: ties\nbase_model: base\nmodels:\n"
      "- {model: a, parameters: {weight: \"0\"}}\n- {model: b, parameters: {weight: '+2e-1'}}\n"
      "parameters: {normalize: 0.0, rescale: \"1\", lambda: '0.5'}\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->models, ElementsAre("b")) << "a weight of \"0\" drops the model";
  EXPECT_EQ(resolved->config.per_model[0].at("weight"), 0.2);
  EXPECT_EQ(resolved->config.numbers.at("normalize"), 0);
  EXPECT_EQ(resolved->config.numbers.at("rescale"), 1);
  EXPECT_EQ(resolved->config.numbers.at("lambda"), 0.5);
}

TEST(ResolveMethodTest, EveryParameterIsAWordOfTheTable) {
  for (const MethodInfo& info : Methods()) {
    for (const ParameterSpec& spec : info.parameters) {
      EXPECT_TRUE(spec.key == "int8_mask" || IsParameterWord(spec.key)) << spec.key;
    }
  }
}

TEST(ResolveMethodTest, ABaseOfASliceMayBeTheRecipesByAnotherName) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: slerp\nbase_model: base\nslices:\n- sources:\n"
      "  - {model: base, layer_range: [0, 2]}\n  - {model: a, layer_range: [0, 2]}\n"
      "  base_model: ./base\nparameters: {t: 0.5}\n");
  EXPECT_TRUE(resolved.ok()) << resolved.status();
}

TEST(ResolveMethodTest, ABaseOfKarcherIsOneMoreModel) {
  const absl::StatusOr<ResolvedMethod> resolved =
      Resolve("merge_method: karcher\nbase_model: base\nmodels: [a, b]\n");
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->models, ElementsAre("a", "b", "base"));
  EXPECT_EQ(resolved->reference, 2u);
  EXPECT_TRUE(resolved->names_base);
  EXPECT_THAT(resolved->warnings, ElementsAre(AllOf(HasSubstr("r.yaml:2: key 'base_model'"),
                                                    HasSubstr("as one more model"))));
}

TEST(ResolveMethodTest, WithoutEffectIsNoExcuseForAWrongType) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(
      "merge_method: task_arithmetic\nbase_model: base\nmodels: [a]\n"
      "parameters: {density: much}\n");
  ASSERT_FALSE(resolved.ok());
  EXPECT_THAT(std::string(resolved.status().message()),
              HasSubstr("r.yaml:4: key 'parameters.density'"));
}

// As many models as a user would most likely give it.
size_t ModelsOf(const MethodInfo& info) {
  const size_t few = std::max<size_t>(info.min_models, 2);
  return info.max_models == 0 ? few : std::min(few, info.max_models);
}

TEST(ResolveMethodTest, Int8MaskIsAcceptedByEveryMethod) {
  for (const MethodInfo& info : Methods()) {
    const auto resolved = Resolve(RecipeNamed(info, ModelsOf(info), "int8_mask: true"));
    EXPECT_TRUE(resolved.ok()) << info.name << ": " << resolved.status();
  }
}

TEST(ResolveMethodTest, NormalizedTaskVectorsWhoseWeightsCancelDivideByOne) {
  EXPECT_TRUE(Resolve("merge_method: task_arithmetic\nbase_model: base\nmodels:\n"
                      "- {model: a, parameters: {weight: 1}}\n"
                      "- {model: b, parameters: {weight: -1}}\nparameters: {normalize: true}\n")
                  .ok());
}

TEST(ResolveMethodTest, ResolvingTwiceGivesTheSame) {
  const std::string_view yaml =
      "merge_method: linear\nmodels: [a, b]\nparameters: {weight: 0.1, normalize: false}\n";
  const auto first = Resolve(yaml), second = Resolve(yaml);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->config.numbers, second->config.numbers);
  EXPECT_EQ(first->config.per_model, second->config.per_model);
}

// A config travels in plans: what another version wrote must be refused.
TEST(MakeMethodTest, RefusesAConfigOfAnotherVersion) {
  MethodConfig config;
  config.method = "future";
  EXPECT_THAT(std::string(MakeMethod(config).status().message()), HasSubstr("another version"));
  config.method = "resmerge";
  config.per_model.resize(2);
  const absl::Status missing = MakeMethod(config).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("rank_topk"));
  config.numbers = {
      {"rank_topk", 1}, {"src_beta_min", 0.7}, {"src_beta_max", 1}, {"head_ratio_budget", 0.2}};
  config.choices = {{"roles", "structure"}, {"scope", "tensor"}};
  EXPECT_TRUE(MakeMethod(config).ok());
  for (const double rank : {0.0, -1.0, 17.0, 1e300}) {
    config.numbers["rank_topk"] = rank;
    EXPECT_FALSE(MakeMethod(config).ok()) << rank;
  }
  config.numbers["rank_topk"] = 1;
  config.per_model.clear();
  EXPECT_FALSE(MakeMethod(config).ok());
  config.per_model.resize(17);
  EXPECT_FALSE(MakeMethod(config).ok());

  config = {};
  config.method = "linear";
  config.numbers = {{"normalize", 1}};
  config.per_model = {{}};
  EXPECT_THAT(std::string(MakeMethod(config).status().message()), HasSubstr("weight"));
}

TEST(MakeMethodTest, EveryListedMethodCanBeMadeFromARecipe) {
  for (const MethodInfo& info : Methods()) {
    SCOPED_TRACE(info.name);
    const size_t models = ModelsOf(info);
    const absl::StatusOr<ResolvedMethod> resolved = Resolve(RecipeNamed(info, models));
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_THAT(resolved->models, SizeIs(models));
    EXPECT_EQ(resolved->base, info.base == BaseUse::kNone ? "" : "base");
    const auto method = MakeMethod(resolved->config);
    ASSERT_TRUE(method.ok()) << method.status();
    EXPECT_EQ((*method)->name(), info.name);
    EXPECT_THAT(info.summary, Not(IsEmpty()));
    EXPECT_THAT(info.paper, Not(IsEmpty()));
  }
}

// What its parameters are is what its config has: one that lacks any of them comes
// from another version.
TEST(MakeMethodTest, NoMethodIsMadeWithoutOneOfItsParameters) {
  for (const MethodInfo& info : Methods()) {
    const absl::StatusOr<ResolvedMethod> resolved = Resolve(RecipeNamed(info, ModelsOf(info)));
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    for (const ParameterSpec& spec : info.parameters) {
      if (!spec.no_effect.empty()) continue;
      MethodConfig config = resolved->config;
      config.numbers.erase(spec.key);
      config.choices.erase(spec.key);
      for (auto& model : config.per_model) model.erase(spec.key);
      const absl::Status status = MakeMethod(config).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << info.name << " " << spec.key;
      EXPECT_THAT(std::string(status.message()), HasSubstr(spec.key)) << info.name;
    }
  }
}

TEST(MethodsTest, NamesAreUnique) {
  std::vector<std::string_view> names;
  for (const MethodInfo& info : Methods()) {
    EXPECT_THAT(names, Not(testing::Contains(info.name)));
    EXPECT_EQ(FindMethod(info.name), &info);
    names.push_back(info.name);
  }
}

}  // namespace
}  // namespace merganser
