// Recipes, of one document or several.
//
// What is accepted keeps the promises of Recipe; what is refused is told in one line with its
// place.
#include <cmath>
#include <set>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/recipe/model_ref.h"
#include "common/recipe/recipe.h"
#include "common/recipe/stages.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

void RequireSound(const RecipeParameters& parameters) {
  for (const auto& [name, setting] : parameters) {
    Require(setting.line > 0 && !setting.conditions.empty(), "a setting without a place", name);
    for (const RecipeCondition& condition : setting.conditions) {
      Require(!condition.values.empty(), "a condition without a value", name);
      for (const RecipeValue& value : condition.values) {
        const double* number = std::get_if<double>(&value.value);
        Require(value.line > 0, "a value without a place", name);
        Require(number != nullptr || condition.values.size() == 1, "a gradient of texts", name);
        Require(number == nullptr || std::isfinite(*number), "a number that is none", name);
      }
    }
  }
}

void RequireSound(const Recipe& recipe) {
  Require(!recipe.merge_method.empty(), "no method");
  Require(recipe.models.empty() != recipe.slices.empty(), "models and slices, or neither");
  Require(recipe.max_shard_size > 0 && recipe.unit_size > 0 && recipe.split_size > 0,
          "a size of nothing");
  RequireSound(recipe.parameters);
  for (const RecipeModel& model : recipe.models) {
    Require(!model.model.empty() && model.line > 0, "a model without a name or place");
    RequireSound(model.parameters);
  }
  for (const RecipeSlice& slice : recipe.slices) {
    Require(!slice.sources.empty(), "a slice of nothing");
    RequireSound(slice.parameters);
    for (const RecipeSource& source : slice.sources) {
      Require(!source.model.empty() && source.begin <= source.end, "layers that end before");
      Require(source.end - source.begin == slice.sources[0].end - slice.sources[0].begin,
              "sources of other lengths", source.model);
      RequireSound(source.parameters);
    }
  }
  for (const auto& [name, ref] : recipe.adapted) {
    Require(!ref.path.empty() && !ref.adapters.empty() && ref.adapters.size() <= kMaxAdapters,
            "a model with no adapters, or too many", name);
    for (const ModelAdapter& adapter : ref.adapters) {
      Require(!adapter.path.empty() && std::isfinite(adapter.weight), "an adapter's weight", name);
    }
    Require(PartsOfModel(recipe, name).size() == 1 + ref.adapters.size(), "other parts", name);
  }
  if (recipe.tokenizer.has_value()) {
    std::set<std::string> tokens;
    for (const TokenRule& rule : recipe.tokenizer->rules) {
      Require(tokens.insert(rule.token).second, "two rules for a token", rule.token);
    }
  }
}

void RequirePlace(const absl::Status& status) {
  RequireRefusal(status, {absl::StatusCode::kInvalidArgument});
  const std::string message(status.message());
  Require(message.starts_with("r.yaml:"), "no place", message);
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const std::string_view text = TextOf(data, size);
  const auto recipe = ParseRecipe(text, "r.yaml");
  if (recipe.ok()) {
    Require(recipe->text == text, "the text is not kept");
    RequireSound(*recipe);
  } else {
    RequirePlace(recipe.status());
  }
  if (CountDocuments(text) >= 2) {
    const auto stages = ReadStages(text, "r.yaml");
    if (!stages.ok()) {
      RequirePlace(stages.status());
    } else {
      std::set<std::string> made;
      for (const RecipeStage& stage : stages->stages) {
        RequireSound(stage.recipe);
        for (const std::string& need : stage.needs) {
          Require(made.contains(need), "a stage before one that it needs", need);
        }
        Require(made.insert(stage.name).second, "two stages of a name", stage.name);
      }
      Require(!stages->stages.empty(), "no stages");
    }
  }
  if (const auto ref = SplitModelText(text.substr(0, 500)); ref.has_value()) {
    Require(!ref->adapters.empty(), "a model that was parted in one");
    Require(!ref->may_be_path || ModelRefText(*ref) == text.substr(0, 500),
            "put together, it is another text", text);
  }
  return 0;
}
