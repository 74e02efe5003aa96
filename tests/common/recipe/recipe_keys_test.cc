// The table of keys is what the reader does, row by row.
#include "common/recipe/recipe_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/recipe/recipe.h"

namespace merganser {
namespace {

// A recipe with `line` at its place.
std::string With(KeyPlace place, const std::string& line) {
  const std::string top = "merge_method: m\n";
  const std::string models = "models: [a]\n";
  switch (place) {
    case KeyPlace::kTop:
    case KeyPlace::kParameters: {
      const bool own = line.starts_with("modules");
      return top + (own ? "" : models) + line + "\n";
    }
    case KeyPlace::kModel:
      return absl::StrCat(top, "models:\n- model: a\n  ", line, "\n");
    case KeyPlace::kSlice:
      return absl::StrCat(top, "slices:\n- sources: [{model: a, layer_range: [0, 2]}]\n  ", line,
                          "\n");
    case KeyPlace::kSource:
      return absl::StrCat(top, "slices:\n- sources:\n  - model: a\n    layer_range: [0, 2]\n    ",
                          line, "\n");
    case KeyPlace::kReference:
      return absl::StrCat(top, models, "base_model: {", line, "}\n");
    case KeyPlace::kAdapter:
      return absl::StrCat(top, models, "base_model: {path: b, lora: {", line,
                          line.starts_with("path") ? "" : ", path: c", "}}\n");
    case KeyPlace::kTokenizer:
      return absl::StrCat(top, models, "tokenizer:\n  ", line, "\n");
    case KeyPlace::kTokenRule:
      return absl::StrCat(top, models, "tokenizer: {tokens: {x: {", line, "}}}\n");
    case KeyPlace::kTokenRows:
      return absl::StrCat(top, models, "tokenizer: {tokens: {x: {source: {", line, "}}}}\n");
  }
  return "";
}

TEST(RecipeKeys, EachRowSaysWhatTheReaderDoes) {
  int held = 0;
  for (const RecipeKey& row : RecipeKeys()) {
    if (row.example.empty()) continue;
    const std::string text = With(row.place, std::string(row.example));
    SCOPED_TRACE(text);
    const auto recipe = ParseRecipe(text, "r.yaml");
    ++held;
    if (row.verdict == KeyVerdict::kRefused) {
      EXPECT_FALSE(recipe.ok());
      continue;
    }
    ASSERT_TRUE(recipe.ok()) << recipe.status();
    EXPECT_EQ(recipe->notes.empty(), row.verdict != KeyVerdict::kNoted);
    EXPECT_EQ(recipe->warnings.empty(), row.verdict != KeyVerdict::kWarned);
  }
  EXPECT_GT(held, 40);
}

TEST(RecipeKeys, EveryRowIsOfOneKindAndSaysSomething) {
  for (const RecipeKey& row : RecipeKeys()) {
    const std::string shown(row.form.empty() ? row.key : row.form);
    SCOPED_TRACE(shown);
    EXPECT_FALSE(shown.empty());
    EXPECT_FALSE(row.about.ends_with("."));
    EXPECT_EQ(row.about.find('\n'), std::string_view::npos);
    if (row.key.empty()) continue;
    EXPECT_EQ(FindRecipeKey(row.place, row.key), &row) << "listed twice";
  }
  EXPECT_EQ(FindRecipeKey(KeyPlace::kTop, ""), nullptr);
}

TEST(RecipeKeys, ShownAsATableAndAsJson) {
  const std::string table = RecipeKeysMarkdown();
  EXPECT_THAT(table, testing::HasSubstr("| the recipe | `base_model` | accepted | "));
  EXPECT_THAT(table, testing::HasSubstr("| `tokenizer` | `tokens` | accepted | "));
  EXPECT_THAT(RecipeKeysJson(), testing::StartsWith("{\"keys\": [\n"));
}

}  // namespace
}  // namespace merganser
