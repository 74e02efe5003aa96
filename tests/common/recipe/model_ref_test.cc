// Models with adapters: how they are written, and what they are called.
#include "common/recipe/model_ref.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/recipe/recipe.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Parts(std::string_view text) {
  const auto ref = SplitModelText(text);
  if (!ref.has_value()) return {};
  std::vector<std::string> parts = {ref->path};
  for (const ModelAdapter& adapter : ref->adapters) parts.push_back(adapter.path);
  return parts;
}

TEST(ModelRef, APlusSeparatesModelAndAdapters) {
  EXPECT_THAT(Parts("a+b"), ElementsAre("a", "b"));
  EXPECT_THAT(Parts("org/base@main+org/x+../y"), ElementsAre("org/base@main", "org/x", "../y"));
  EXPECT_THAT(Parts("hf://org/base+hf://org/x@refs/pr/1"),
              ElementsAre("hf://org/base", "hf://org/x@refs/pr/1"));
  EXPECT_THAT(Parts("plain"), IsEmpty());
}

TEST(ModelRef, WithinAUriOnlyWhatIsAnAdapterForCertain) {
  EXPECT_THAT(Parts("s3://bucket/x+y"), IsEmpty());
  EXPECT_THAT(Parts("s3://bucket/x+y+s3://bucket/z+w"),
              ElementsAre("s3://bucket/x+y", "s3://bucket/z+w"));
  EXPECT_THAT(Parts("https://host/base+/local/lora"),
              ElementsAre("https://host/base", "/local/lora"));
  EXPECT_THAT(Parts("base+s3://bucket/x+y"), ElementsAre("base", "s3://bucket/x+y"));
}

TEST(ModelRef, OnlyTextWithoutSchemeMayBeAPath) {
  EXPECT_TRUE(SplitModelText("a+b")->may_be_path);
  EXPECT_FALSE(SplitModelText("hf://org/a+b")->may_be_path);
}

TEST(ModelRef, NamesTellWeights) {
  EXPECT_EQ(ModelRefText({"b", {{"x", 1}, {"y", 0.5}, {"z", -2}}, false}), "b + x + 0.5*y + -2*z");
}

Recipe Parse(const std::string& models) {
  const auto recipe = ParseRecipe("merge_method: m\nmodels:\n" + models, "r.yaml");
  EXPECT_TRUE(recipe.ok()) << recipe.status();
  return recipe.ok() ? *recipe : Recipe();
}

TEST(ModelRef, EveryFormOfARecipe) {
  const Recipe recipe = Parse(R"(
  - b+x
  - {model: {model: {path: b}, lora: {path: x}}}
  - {model: {path: b, lora: x}}
  - {model: b, lora: x}
  - {model: b, lora: [{path: x, weight: 0.5}, {path: org/y, revision: dpo}]}
  - {model: b+x, lora: z, parameters: {weight: 1}}
  - {model: {model: b+x, lora: null}}
)");
  std::vector<std::string> names;
  for (const RecipeModel& model : recipe.models) names.push_back(model.model);
  EXPECT_THAT(names, ElementsAre("b+x", "b + x", "b + x", "b + x", "b + 0.5*x + org/y@dpo",
                                 "b + x + z", "b+x"));
  EXPECT_EQ(recipe.adapted.size(), 4u);
  EXPECT_TRUE(recipe.adapted.at("b+x").may_be_path);
  EXPECT_FALSE(recipe.adapted.at("b + x").may_be_path);
  EXPECT_THAT(PartsOfModel(recipe, "b + 0.5*x + org/y@dpo"), ElementsAre("b", "x", "org/y@dpo"));
  EXPECT_EQ(recipe.adapted.at("b + 0.5*x + org/y@dpo").adapters[0].weight, 0.5);
  EXPECT_THAT(PartsOfModel(recipe, "c"), ElementsAre("c"));
  EXPECT_TRUE(recipe.warnings.empty());
}

TEST(ModelRef, APathThatIsWrittenAsOneStaysOne) {
  const Recipe recipe = Parse("  - {model: {path: /m/a+b}}\n  - s3://bucket/x+y\n");
  EXPECT_TRUE(recipe.adapted.empty());
  EXPECT_EQ(recipe.models[0].model, "/m/a+b");
}

TEST(ModelRef, WhateverNamesAModelMayHaveAdapters) {
  const auto recipe = ParseRecipe(
      "merge_method: m\nmodels: [a]\nbase_model: b+x\ntokenizer_source: c+y\n", "r.yaml");
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  EXPECT_EQ(recipe->base_model, "b+x");
  EXPECT_EQ(recipe->adapted.count("c+y"), 1u);
}

std::string Refused(const std::string& text) {
  const auto recipe = ParseRecipe("merge_method: m\nmodels:\n  - " + text + "\n", "r.yaml");
  EXPECT_EQ(recipe.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(recipe.status().message());
}

TEST(ModelRef, WhatCannotBeMeant) {
  EXPECT_THAT(Refused("a+"), HasSubstr("an adapter on the right"));
  EXPECT_THAT(Refused("+a"), HasSubstr("a model on the left"));
  EXPECT_THAT(Refused("a++b"), HasSubstr("a model on the left"));
  EXPECT_THAT(Refused("a+/b@main"), HasSubstr("a revision (@) is not supported"));
  EXPECT_THAT(Refused("a+https://user:secret@host/x"), Not(HasSubstr("secret")));
  EXPECT_THAT(Refused("{model: a, lora: 7}"), HasSubstr("key 'models[0].lora': found 7"));
  EXPECT_THAT(Refused("{model: a, lora: {weight: 1}}"),
              HasSubstr("key 'models[0].lora.path': missing"));
  EXPECT_THAT(Refused("{model: a, lora: [{path: x, weight: much}]}"),
              HasSubstr("key 'models[0].lora[0].weight': found \"much\", expected a number"));
  EXPECT_THAT(Refused("{model: a, lora: [{path: x, weight: .inf}]}"),
              HasSubstr("models[0].lora[0].weight"));
  EXPECT_THAT(Refused("{model: a, lora: [{path: x, wieght: 1}]}"),
              HasSubstr("did you mean 'weight'?"));
  EXPECT_THAT(Refused("{model: a, lora: {path: /x, revision: y}}"),
              HasSubstr("key 'models[0].lora.revision': found \"y\": a revision of /x"));
  std::string many = "a";
  for (size_t i = 0; i <= kMaxAdapters; ++i) many += "+x";
  EXPECT_THAT(Refused(many), HasSubstr("expected at most 64"));
}

TEST(ModelRef, OneNameMeansOneModel) {
  const auto recipe =
      ParseRecipe("merge_method: m\nmodels: [{model: {path: a+b}}]\nbase_model: a+b\n", "r.yaml");
  EXPECT_EQ(recipe.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(recipe.status().message()), HasSubstr("written otherwise elsewhere"));
}

}  // namespace
}  // namespace merganser
