// What conditions come to over all tensors, where that is hardly what was meant.
#include "common/methods/condition_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/methods/registry.h"
#include "common/recipe/recipe.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Of a model of two layers.
std::vector<std::string> Warnings(const std::string& yaml, const std::string& alias = "") {
  const absl::StatusOr<Recipe> recipe = ParseRecipe(yaml, "r.yaml");
  EXPECT_TRUE(recipe.ok()) << recipe.status();
  if (!recipe.ok()) return {"no recipe"};
  const absl::StatusOr<ResolvedMethod> resolved =
      ResolveMethod(*recipe, [](const std::string& model) { return model; });
  EXPECT_TRUE(resolved.ok()) << resolved.status();
  if (!resolved.ok()) return {"no method"};
  ConditionChecks checks(*resolved);
  for (uint32_t slice = 0; slice < resolved->slices.size(); ++slice) {
    for (const char* name : {"embed", "layers.0.attn", "layers.0.mlp", "layers.1.mlp"}) {
      TensorPlace place;
      place.name = name;
      place.slice = slice;
      checks.See(place);
    }
  }
  if (!alias.empty()) {
    TensorPlace place;
    place.name = alias;
    checks.See(place, /*alias=*/true);
  }
  return checks.Warnings();
}

const std::string kHead = "merge_method: task_arithmetic\nbase_model: base\nmodels: [a, b]\n";

TEST(ConditionChecks, AFilterThatMeetsNothing) {
  EXPECT_THAT(Warnings(kHead + "parameters:\n  lambda:\n  - {filter: self_attn, value: 2}\n"
                               "  - {value: 1}\n"),
              ElementsAre(AllOf(HasSubstr("r.yaml:6: key 'parameters.lambda'"),
                                HasSubstr("filter 'self_attn' meets no tensor that is merged"),
                                HasSubstr("such as embed"))));
  EXPECT_THAT(Warnings(kHead + "parameters: {lambda: [{filter: mlp, value: 2}, {value: 1}]}\n"),
              IsEmpty());
}

TEST(ConditionChecks, ConditionsThatAreNeverReached) {
  EXPECT_THAT(Warnings(kHead + "parameters:\n  lambda:\n  - {value: 1}\n"
                               "  - {filter: mlp, value: 2}\n  - {value: 3}\n"),
              ElementsAre(AllOf(HasSubstr("r.yaml:7: key 'parameters.lambda'"),
                                HasSubstr("filter 'mlp' stands behind a condition without filter")),
                          AllOf(HasSubstr("r.yaml:8"), HasSubstr("the condition without filter"))));
  EXPECT_THAT(Warnings(kHead + "parameters:\n  lambda:\n  - {filter: layers, value: 1}\n"
                               "  - {filter: mlp, value: 2}\n"),
              ElementsAre(HasSubstr("filter 'mlp' has no effect: every tensor that it meets is "
                                    "taken by a condition before it")));
}

TEST(ConditionChecks, AModelWhoseWeightStandsUnderFiltersOnly) {
  const std::string head =
      "merge_method: task_arithmetic\nbase_model: base\nmodels:\n- model: a\n"
      "  parameters: {weight: [{filter: mlp, value: 0.5}]}\n- model: b\n";
  EXPECT_THAT(
      Warnings(head),
      ElementsAre(AllOf(HasSubstr("r.yaml:5: key 'parameters.weight'"),
                        HasSubstr("the weight of model a stands under filters only: 2 of 4"),
                        HasSubstr("the default, 1 (embed, layers.0.attn)"))));
  // A wider place decides.
  EXPECT_THAT(Warnings(head + "parameters: {weight: 0.25}\n"), IsEmpty());
}

TEST(ConditionChecks, AnotherNameOfATensorIsMet) {
  const std::string recipe =
      kHead + "parameters: {lambda: [{filter: lm_head, value: 2}, {value: 1}]}\n";
  EXPECT_THAT(Warnings(recipe), ElementsAre(HasSubstr("'lm_head' meets no tensor")));
  EXPECT_THAT(Warnings(recipe, "lm_head"), IsEmpty());
}

TEST(ConditionChecks, OfASliceAlone) {
  const std::string slice =
      "- sources: [{model: base, layer_range: [0, 2]}, "
      "{model: a, layer_range: [0, 2]}]\n";
  EXPECT_THAT(Warnings("merge_method: task_arithmetic\nbase_model: base\nslices:\n" + slice +
                       slice + "  parameters: {lambda: [{filter: norm, value: 2}, {value: 1}]}\n"),
              ElementsAre(HasSubstr("meets no tensor that is merged in this slice")));
}

TEST(ConditionChecks, ParametersThatTheMethodHasNotAreNoMatter) {
  EXPECT_THAT(Warnings("merge_method: model_stock\nbase_model: base\nmodels: [a, b]\n"
                       "parameters: {weight: [{filter: nothing, value: 1}]}\n"),
              IsEmpty());
}

}  // namespace
}  // namespace merganser
