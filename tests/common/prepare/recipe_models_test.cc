// The models that a recipe names, with their adapters: one name for one model, and every folder
// seen.
#include "common/prepare/recipe_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

class RecipeModelsTest : public testing::Test {
 protected:
  RecipeModelsTest() {
    WriteBase("base");
    WriteAdapter("x", "");
    WriteAdapter("y", "");
  }

  void WriteBase(const std::string& name) {
    TinyCheckpoint tiny;
    tiny.tensors = {{"model.layers.0.q.weight", DType::kF32, {4, 6}}};
    ASSERT_TRUE(WriteTinyCheckpoint(tiny, dir_.File(name)).ok());
  }
  // Of `base`, as its configuration says; or of none.
  void WriteAdapter(const std::string& name, const std::string& base) {
    TinyCheckpoint tiny;
    tiny.config.clear();
    tiny.tensors = {{"base_model.model.model.layers.0.q.lora_A.weight", DType::kF32, {2, 6}},
                    {"base_model.model.model.layers.0.q.lora_B.weight", DType::kF32, {4, 2}}};
    auto files = *TinyFiles(tiny);
    files["adapter_model.safetensors"] = files.at("model.safetensors");
    files.erase("model.safetensors");
    files["adapter_config.json"] =
        absl::StrCat(R"({"peft_type": "LORA", "r": 2, "base_model_name_or_path": ")", base, "\"}");
    ASSERT_TRUE(WriteFiles(files, dir_.File(name)).ok());
  }
  Recipe Parse(const std::string& text) {
    auto recipe = ParseRecipe("merge_method: m\n" + text, "r.yaml");
    EXPECT_TRUE(recipe.ok()) << recipe.status();
    return recipe.ok() ? *std::move(recipe) : Recipe();
  }
  std::vector<std::string> directories() { return {dir_.path()}; }

  TempDir dir_;
  Stores stores_;
};

TEST_F(RecipeModelsTest, TwoSpellingsOfOneModelHaveOneName) {
  const Recipe recipe = Parse(absl::StrCat(
      "base_model: base\nmodels: [x, base+x, {model: ", dir_.File("base"),
      ", lora: x}, {model: base, lora: [{path: x, weight: 0.5}]}, base, base+x+y, base+y+x]\n"));
  const std::vector<std::string> where = directories();
  RecipeModels models(recipe, where, stores_, nullptr);
  const auto name = [&](size_t i) { return models.Canonical(recipe.models[i].model); };
  EXPECT_EQ(name(0), name(1));
  EXPECT_EQ(name(0), name(2));
  EXPECT_NE(name(0), name(3));
  EXPECT_NE(name(0), name(4));
  EXPECT_NE(name(5), name(6)) << "the order is the model's";
  EXPECT_EQ(name(4), dir_.File("base"));
}

TEST_F(RecipeModelsTest, AnAdapterAloneIsOnTheRecipesBase) {
  const Recipe recipe = Parse("base_model: base\nmodels: [x]\n");
  const std::vector<std::string> where = directories();
  RecipeModels models(recipe, where, stores_, nullptr);
  const auto base = models.Open("base");
  const auto adapted = models.Open("x");
  ASSERT_TRUE(base.ok()) << base.status();
  ASSERT_TRUE(adapted.ok()) << adapted.status();
  EXPECT_EQ((*adapted)->given, "x");
  EXPECT_EQ((*adapted)->uri, (*base)->uri);
  ASSERT_EQ((*adapted)->places.size(), 1u);
  EXPECT_EQ((*adapted)->places[0].uri, dir_.File("x"));
  EXPECT_TRUE((*adapted)->tensors[0].update.has_value());
  EXPECT_FALSE((*base)->tensors[0].update.has_value());
}

TEST_F(RecipeModelsTest, ProductsAreRoundedAsTheRecipeSays) {
  const std::vector<std::string> where = directories();
  for (const std::string text : {"", "lora_dtype: float32\n", "lora_dtype: float16\n"}) {
    const Recipe recipe = Parse("base_model: base\nmodels: [x]\n" + text);
    RecipeModels models(recipe, where, stores_, nullptr);
    const auto adapted = models.Open("x");
    ASSERT_TRUE(adapted.ok()) << adapted.status();
    EXPECT_EQ((*adapted)->tensors[0].update->rounded_to.has_value(), text.ends_with("16\n"));
  }
}

TEST_F(RecipeModelsTest, WithoutABaseItIsOnTheOneThatItNames) {
  WriteAdapter("z", "base");
  const std::vector<std::string> where = directories();
  for (const std::string text : {"models: [z]\n", "base_model: z\nmodels: [z]\n"}) {
    const Recipe recipe = Parse(text);
    RecipeModels models(recipe, where, stores_, nullptr);
    const auto adapted = models.Open("z");
    ASSERT_TRUE(adapted.ok()) << adapted.status();
    EXPECT_EQ((*adapted)->uri, dir_.File("base"));
  }
  const Recipe recipe = Parse("models: [x]\n");
  RecipeModels models(recipe, where, stores_, nullptr);
  EXPECT_THAT(std::string(models.Open("x").status().message()), HasSubstr("names no base"));
}

TEST_F(RecipeModelsTest, AdaptersThatNameEachOtherEnd) {
  WriteAdapter("one", "other");
  WriteAdapter("other", "one");
  const Recipe recipe = Parse("models: [one]\n");
  const std::vector<std::string> where = directories();
  RecipeModels models(recipe, where, stores_, nullptr);
  EXPECT_THAT(std::string(models.Open("one").status().message()),
              HasSubstr("adapters one on the other"));
}

TEST_F(RecipeModelsTest, AFolderThatIsReallyCalledSoIsAPath) {
  WriteBase("base+x");
  const Recipe recipe = Parse("models: [base+x, {model: base, lora: y}]\n");
  const std::vector<std::string> where = directories();
  RecipeModels models(recipe, where, stores_, nullptr);
  EXPECT_EQ(models.Canonical("base+x"), dir_.File("base+x"));
  const auto model = models.Open("base+x");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE((*model)->places.empty());
}

TEST_F(RecipeModelsTest, RootsHoldForBasesAndAdaptersAlike) {
  std::filesystem::create_directories(dir_.File("in"));
  const auto roots = AllowedRoots::Make({dir_.File("in")}, "/", "the test");
  ASSERT_TRUE(roots.ok()) << roots.status();
  for (const std::string& model : {absl::StrCat(dir_.File("in"), "/base+", dir_.File("x")),
                                   absl::StrCat(dir_.File("base"), "+", dir_.File("in"), "/x")}) {
    const Recipe recipe = Parse("models: [" + model + "]\n");
    EXPECT_EQ(CheckModelRoots(recipe, directories(), *roots).code(),
              absl::StatusCode::kPermissionDenied)
        << model;
  }
}

TEST_F(RecipeModelsTest, PathsAreThoseOfAllFolders) {
  EXPECT_THAT(
      ModelPaths("merge_method: m\nmodels: [/a/base+/b/x]\ntokenizer_source: /c+/d\n", "r", {"/"}),
      AllOf(Contains("/a/base"), Contains("/b/x"), Contains("/c"), Contains("/d")));
}

}  // namespace
}  // namespace merganser
