// Random damage to a valid recipe: it must parse to something that keeps the
// promises of Recipe, or fail with a place.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

#include "common/recipe/recipe.h"

namespace merganser {
namespace {

constexpr uint32_t kSeed = 4242;
constexpr int kCases = 5'000;

constexpr std::string_view kValid = R"(merge_method: ties
base_model: &base /models/base
models:
  - model: /models/a
    parameters: &p {weight: 0.5, density: [0.1]}
  - model: {path: "/models/b"}
    parameters:
      <<: *p
      weight: 1e-3
  - *base
parameters:
  normalize: true
  int8_mask: yes
  text: |
    block
     text
dtype: bfloat16
max_shard_size: 5GB
)";

constexpr std::string_view kValidSlices = R"(merge_method: slerp
base_model: a
slices:
  - sources:
      - {model: a, layer_range: [0, 16]}
      - model: b
        layer_range: [8, 24]
        parameters: {weight: [0, 0.5, 1]}
    parameters:
      t:
        - {filter: self_attn, value: [0, 0.5, 0.3]}
        - filter: "*"
          value: 0.5
  - sources: &s [{model: a, layer_range: [16, 24]}]
tokenizer_source: b
)";

void Mutate(std::mt19937& random, std::string& text) {
  static constexpr std::string_view kPieces[] = {
      ":",   " ",      "\n", "\t",    "- ",    "? ",           "[",
      "]",   "{",      "}",  ",",     "&x ",   "*x",           "*p",
      "!",   "!!str ", "|",  ">",     "'",     "\"",           "%",
      "@",   "`",      "#",  "---\n", "...\n", "<<: ",         "~",
      "0",   ".",      "e",  "\\",    "\xFF",  "\xEF\xBB\xBF", "\r",
      "\x04"};
  const size_t at = random() % (text.size() + 1);
  switch (random() % 5) {
    case 0:
      if (at < text.size()) text[at] ^= static_cast<char>(1u << (random() % 8));
      break;
    case 1:
      text.erase(at, 1 + random() % 6);
      break;
    case 2: {
      const std::string piece = text.substr(random() % (text.size() + 1), random() % 40);
      text.insert(at, piece);
      break;
    }
    default:
      text.insert(at, kPieces[random() % std::size(kPieces)]);
  }
}

void ExpectSound(const RecipeParameters& parameters) {
  for (const auto& [name, setting] : parameters) {
    ASSERT_GT(setting.line, 0);
    ASSERT_FALSE(setting.conditions.empty());
    for (const RecipeCondition& condition : setting.conditions) {
      ASSERT_FALSE(condition.values.empty());
      for (const RecipeValue& value : condition.values) {
        ASSERT_GT(value.line, 0);
        const double* number = std::get_if<double>(&value.value);
        ASSERT_TRUE(number != nullptr || condition.values.size() == 1);
        ASSERT_TRUE(number == nullptr || std::isfinite(*number)) << name;
      }
    }
  }
}

TEST(RecipeMutation, ParsesSoundlyOrFailsWithAPlace) {
  RecordProperty("seed", static_cast<int>(kSeed));
  std::mt19937 random(kSeed);
  for (const std::string_view valid : {kValid, kValidSlices}) {
    const auto recipe = ParseRecipe(valid, "r.yaml");
    ASSERT_TRUE(recipe.ok()) << recipe.status();
  }
  int parsed = 0;
  for (int i = 0; i < kCases; ++i) {
    std::string text(i % 2 == 0 ? kValid : kValidSlices);
    const int rounds = 1 + static_cast<int>(random() % 3);
    for (int r = 0; r < rounds; ++r) Mutate(random, text);
    const auto recipe = ParseRecipe(text, "r.yaml");
    if (recipe.ok()) {
      ++parsed;
      ASSERT_FALSE(recipe->merge_method.empty());
      ASSERT_NE(recipe->models.empty(), recipe->slices.empty());
      ASSERT_GT(recipe->max_shard_size, 0u);
      ExpectSound(recipe->parameters);
      for (const RecipeModel& model : recipe->models) {
        ASSERT_FALSE(model.model.empty());
        ExpectSound(model.parameters);
      }
      for (const RecipeSlice& slice : recipe->slices) {
        ASSERT_FALSE(slice.sources.empty());
        ExpectSound(slice.parameters);
        for (const RecipeSource& source : slice.sources) {
          ASSERT_FALSE(source.model.empty());
          ASSERT_LE(source.begin, source.end);
          ASSERT_EQ(source.end - source.begin, slice.sources[0].end - slice.sources[0].begin);
          ExpectSound(source.parameters);
        }
      }
    } else {
      const std::string message(recipe.status().message());
      ASSERT_EQ(recipe.status().code(), absl::StatusCode::kInvalidArgument);
      ASSERT_TRUE(message.starts_with("r.yaml:")) << message;
      ASSERT_EQ(message.find('\n'), std::string::npos) << message;
    }
    if (HasFatalFailure()) FAIL() << "seed " << kSeed << ", case " << i << ":\n" << text;
  }
  EXPECT_GT(parsed, kCases / 50);
}

}  // namespace
}  // namespace merganser
