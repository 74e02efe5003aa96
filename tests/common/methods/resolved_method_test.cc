// Parameters tensor by tensor: gradients, filters, levels and slices.
#include "common/methods/resolved_method.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/methods/registry.h"
#include "common/recipe/recipe.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

absl::StatusOr<ResolvedMethod> Resolve(std::string_view yaml) {
  const absl::StatusOr<Recipe> recipe = ParseRecipe(yaml, "r.yaml");
  EXPECT_TRUE(recipe.ok()) << recipe.status();
  if (!recipe.ok()) return recipe.status();
  return ResolveMethod(*recipe, [](const std::string& model) { return model; });
}

ResolvedMethod Must(std::string_view yaml) {
  absl::StatusOr<ResolvedMethod> resolved = Resolve(yaml);
  EXPECT_TRUE(resolved.ok()) << resolved.status();
  return resolved.ok() ? *std::move(resolved) : ResolvedMethod();
}

std::string Refusal(std::string_view yaml) {
  const absl::StatusOr<ResolvedMethod> resolved = Resolve(yaml);
  EXPECT_EQ(resolved.status().code(), absl::StatusCode::kInvalidArgument) << resolved.status();
  return std::string(resolved.status().message());
}

TensorPlace At(std::string name, double t = 0, uint32_t slice = 0,
               std::vector<std::string> inputs = {}) {
  TensorPlace place;
  place.name = std::move(name);
  place.t = t;
  place.slice = slice;
  place.inputs = std::move(inputs);
  return place;
}

// The weights of the contributing models at `place`.
std::vector<double> Weights(const ResolvedMethod& resolved, const TensorPlace& place) {
  const absl::StatusOr<MethodConfig> config = resolved.ConfigFor(place);
  EXPECT_TRUE(config.ok()) << config.status();
  std::vector<double> weights;
  if (!config.ok()) return weights;
  for (const auto& model : config->per_model) weights.push_back(model.at("weight"));
  return weights;
}

double Lambda(const ResolvedMethod& resolved, const TensorPlace& place) {
  const absl::StatusOr<MethodConfig> config = resolved.ConfigFor(place);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? config->numbers.at("lambda") : 0;
}

constexpr std::string_view kHead = "merge_method: task_arithmetic\nbase_model: base\n";

std::string WithHead(std::string_view rest) { return std::string(kHead) + std::string(rest); }

TEST(ResolvedMethodTest, WithoutGradientsEveryTensorHasTheDefault) {
  const ResolvedMethod resolved = Must(WithHead("models: [a, b]\nparameters: {lambda: 0.5}\n"));
  ASSERT_THAT(resolved.slices, SizeIs(1));
  EXPECT_FALSE(resolved.slices[0].layers.has_value());
  EXPECT_TRUE(resolved.has_default);
  EXPECT_THAT(resolved.inputs(), ElementsAre("base", "a", "b"));
  const auto config = resolved.ConfigFor(At("model.layers.3.mlp", 0.7));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, resolved.config);
  EXPECT_TRUE(config->has_base);
}

TEST(ResolvedMethodTest, GradientsAreLinearBetweenEvenlySpreadValues) {
  const ResolvedMethod resolved = Must(WithHead("models: [a]\nparameters: {lambda: [0, 1, 5]}\n"));
  EXPECT_EQ(resolved.config.numbers.at("lambda"), 0);
  for (const auto& [t, expected] : std::vector<std::pair<double, double>>{
           {0, 0}, {0.25, 0.5}, {0.5, 1}, {0.75, 3}, {0.875, 4}, {1, 5}}) {
    EXPECT_DOUBLE_EQ(Lambda(resolved, At("x", t)), expected) << t;
  }
  const ResolvedMethod one = Must(WithHead("models: [a]\nparameters: {lambda: [3]}\n"));
  EXPECT_EQ(Lambda(one, At("x", 1)), 3);
}

TEST(ResolvedMethodTest, TheFirstConditionThatIsMetCountsElseTheWiderLevel) {
  const ResolvedMethod resolved = Must(
      WithHead("models:\n- model: a\n  parameters:\n    weight:\n"
               "    - {filter: mlp.up, value: 2}\n    - {filter: mlp, value: [3, 5]}\n- model: b\n"
               "parameters:\n  weight: [{filter: norm, value: 7}]\n"
               "  lambda: [{filter: mlp, value: 0.5}, {filter: '*', value: [1, 2]}]\n"));
  EXPECT_THAT(Weights(resolved, At("l.mlp.up", 0.5)), ElementsAre(2, 1));
  EXPECT_THAT(Weights(resolved, At("l.mlp.down", 0.5)), ElementsAre(4, 1));
  EXPECT_THAT(Weights(resolved, At("l.norm", 0.5)), ElementsAre(7, 7));
  EXPECT_THAT(Weights(resolved, At("l.attn", 0.5)), ElementsAre(1, 1)) << "the default";
  EXPECT_EQ(Lambda(resolved, At("l.mlp.up", 0.5)), 0.5);
  EXPECT_EQ(Lambda(resolved, At("l.attn", 0.5)), 1.5);
}

TEST(ResolvedMethodTest, FiltersOfModelsMeetInputNamesOthersOutputNames) {
  const ResolvedMethod resolved =
      Must(WithHead("models: [a, b]\nparameters:\n  weight: [{filter: layers.1., value: 2}]\n"
                    "  lambda: [{filter: layers.1., value: 3}]\n"));
  const TensorPlace place = At("layers.9.x", 0, 0, {"layers.9.x", "layers.0.x", "layers.1.x"});
  EXPECT_THAT(Weights(resolved, place), ElementsAre(1, 2));
  EXPECT_EQ(Lambda(resolved, place), 1);
}

TEST(ResolvedMethodTest, ModelsThatAreZeroSomewhereElseStay) {
  const ResolvedMethod resolved =
      Must(WithHead("models:\n- {model: a, parameters: {weight: [0, 1]}}\n"
                    "- {model: b, parameters: {weight: [{filter: mlp, value: 0}]}}\n"
                    "- {model: c, parameters: {weight: [0, 0]}}\n"
                    "- {model: d, parameters: {weight: [{filter: mlp, value: 0}, {value: 0}]}}\n"));
  EXPECT_THAT(resolved.models, ElementsAre("a", "b"));
  EXPECT_THAT(resolved.warnings, SizeIs(2));
  // The wider level decides where no filter does.
  const ResolvedMethod wider =
      Must(WithHead("models:\n- {model: a, parameters: {weight: [{filter: mlp, value: 0}]}}\n"
                    "- {model: b, parameters: {weight: 1}}\nparameters: {weight: 0}\n"));
  EXPECT_THAT(wider.models, ElementsAre("b"));
}

TEST(ResolvedMethodTest, ARequiredParameterMayNeedAFilterEverywhere) {
  const ResolvedMethod resolved =
      Must("merge_method: linear\nmodels: [a]\nparameters: {weight: [{filter: mlp, value: 1}]}\n");
  EXPECT_FALSE(resolved.has_default);
  EXPECT_THAT(Weights(resolved, At("l.mlp")), ElementsAre(1));
  const absl::Status missing = resolved.ConfigFor(At("l.norm")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(missing.message()),
              AllOf(HasSubstr("r.yaml:1: key 'parameters.weight': missing"),
                    HasSubstr("no filter takes in this tensor")));
}

TEST(ResolvedMethodTest, WrongValuesAreFoundWhereverTheyStand) {
  const std::string head = "merge_method: resmerge\nbase_model: base\nmodels: [a]\n";
  EXPECT_THAT(Refusal(head + "parameters:\n  rank_topk: [1, 99]\n"),
              HasSubstr("r.yaml:5: key 'parameters.rank_topk': found 99, expected a whole number "
                        "from 1 to 16"));
  EXPECT_THAT(Refusal(head + "parameters:\n  rank_topk:\n  - filter: a\n    value: [1, 1.5]\n"),
              HasSubstr("r.yaml:7: key 'parameters.rank_topk': found 1.5"));
  EXPECT_THAT(Refusal(head + "parameters: {scope: [1, 2]}\n"),
              AllOf(HasSubstr("found a gradient"), HasSubstr("expected one of: tensor")));
  EXPECT_THAT(Refusal(head + "parameters: {scope: [{filter: a, value: galaxy}]}\n"),
              HasSubstr("found \"galaxy\""));
  EXPECT_THAT(Refusal("merge_method: linear\nmodels: [a]\n"
                      "parameters: {weight: 1, normalize: [1, 0]}\n"),
              AllOf(HasSubstr("found a gradient"), HasSubstr("expected true or false")));
  // Between two whole numbers there are others.
  const ResolvedMethod between = Must(head + "parameters: {rank_topk: [1, 3]}\n");
  EXPECT_TRUE(between.ConfigFor(At("x", 0.5)).ok());
  EXPECT_THAT(std::string(between.ConfigFor(At("x", 0.25)).status().message()),
              HasSubstr("r.yaml:4: key 'parameters.rank_topk': found 1.5"));
}

// --- Slices.

TEST(ResolvedMethodTest, SlicesNameEachModelOnceAndTheBaseFirst) {
  const ResolvedMethod resolved = Must(WithHead(
      "slices:\n- sources:\n  - {model: a, layer_range: [0, 2], parameters: {weight: 0.5}}\n"
      "  - {model: base, layer_range: [4, 6]}\n  - {model: a, layer_range: [2, 4]}\n"
      "- sources:\n  - {model: base, layer_range: [2, 5]}\n  - {model: b, layer_range: [0, 3]}\n"
      "  - {model: a, layer_range: [1, 4]}\n"
      "  parameters: {lambda: [0, 1], weight: [{filter: '.2.', value: 4}]}\n"
      "parameters: {lambda: 3}\n"));
  EXPECT_THAT(resolved.inputs(), ElementsAre("base", "a", "b"));
  ASSERT_THAT(resolved.slices, SizeIs(2));
  const auto sources = [&](size_t s) {
    std::vector<std::pair<uint32_t, uint64_t>> found;
    for (const ResolvedSource& source : resolved.slices[s].sources) {
      found.emplace_back(source.model, source.first_layer);
    }
    return found;
  };
  EXPECT_THAT(sources(0), ElementsAre(Pair(0, 4), Pair(1, 0), Pair(1, 2)));
  EXPECT_THAT(sources(1), ElementsAre(Pair(0, 2), Pair(2, 0), Pair(1, 1)));
  EXPECT_EQ(resolved.slices[1].layers, 3u);

  EXPECT_THAT(Weights(resolved, At("x", 0, 0)), ElementsAre(0.5, 1));
  EXPECT_EQ(Lambda(resolved, At("x", 0.5, 0)), 3);
  EXPECT_THAT(Weights(resolved, At("x", 0, 1, {"l.4.", "l.2.", "l.3."})), ElementsAre(4, 1));
  EXPECT_EQ(Lambda(resolved, At("x", 0.5, 1)), 0.5);
}

TEST(ResolvedMethodTest, SlicesNeedTheirBaseOnce) {
  EXPECT_THAT(Refusal(WithHead("slices:\n- sources:\n  - {model: base, layer_range: [0, 2]}\n"
                               "  - {model: a, layer_range: [0, 2]}\n"
                               "- sources:\n  - {model: a, layer_range: [0, 2]}\n")),
              AllOf(HasSubstr("r.yaml:7: key 'slices[1].sources': found the base_model base"),
                    HasSubstr("nowhere, expected it once in every slice")));
  EXPECT_THAT(Refusal(WithHead("slices:\n- sources:\n  - {model: base, layer_range: [0, 2]}\n"
                               "  - {model: a, layer_range: [0, 2]}\n"
                               "  - {model: base, layer_range: [2, 4]}\n")),
              HasSubstr("more than once"));
  EXPECT_THAT(Refusal(WithHead("slices:\n- sources:\n  - {model: base, layer_range: [0, 2]}\n")),
              AllOf(HasSubstr("key 'slices[0].sources'"), HasSubstr("no model that takes part")));
}

TEST(ResolvedMethodTest, AModelMayBeDroppedFromOneSliceAlone) {
  const ResolvedMethod resolved = Must(
      "merge_method: linear\nslices:\n- sources:\n  - {model: a, layer_range: [0, 2]}\n"
      "  - {model: b, layer_range: [0, 2], parameters: {weight: 0}}\n"
      "- sources:\n  - {model: b, layer_range: [2, 4]}\nparameters: {weight: 1}\n");
  EXPECT_THAT(resolved.models, ElementsAre("a", "b"));
  EXPECT_THAT(resolved.slices[0].sources, SizeIs(1));
  EXPECT_THAT(resolved.warnings, ElementsAre(HasSubstr("weight 0 in a slice")));
}

TEST(ResolvedMethodTest, ParametersOfSlicesAndSourcesMustBeKnown) {
  EXPECT_THAT(Refusal("merge_method: linear\nslices:\n- sources:\n"
                      "  - {model: a, layer_range: [0, 2]}\n  parameters:\n    wieght: 1\n"),
              AllOf(HasSubstr("r.yaml:6: key 'parameters.wieght'"), HasSubstr("'weight'")));
  EXPECT_THAT(Must("merge_method: linear\nslices:\n- sources:\n"
                   "  - model: a\n    layer_range: [0, 2]\n"
                   "    parameters: {weight: 1, normalize: false}\n")
                  .warnings,
              ElementsAre(AllOf(HasSubstr("r.yaml:6: key 'parameters.normalize'"),
                                HasSubstr("found under a model"))));
  EXPECT_THAT(Refusal("merge_method: linear\nslices:\n- sources:\n"
                      "  - {model: a, layer_range: [0, 2], parameters: {weight: 1}}\n- sources:\n"
                      "  - {model: b, layer_range: [0, 2]}\n"),
              HasSubstr("key 'parameters.weight': missing"));
}

TEST(ResolvedMethodTest, TheBaseAmongWholeModelsIsTheReference) {
  EXPECT_EQ(Must("merge_method: linear\nbase_model: b\nmodels: [a, b]\nparameters: {weight: 1}\n")
                .reference,
            1u);
  EXPECT_EQ(Must("merge_method: linear\nmodels: [a, b]\nparameters: {weight: 1}\n").reference, 0u);
  EXPECT_EQ(Must(WithHead("models: [a, b]\n")).reference, 0u);
}

}  // namespace
}  // namespace merganser
