#include "common/tokenizer/token_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/recipe/recipe_place.h"

namespace merganser {

std::vector<std::string> ModelsOfTokenRules(const Recipe& recipe) {
  std::vector<std::string> models;
  if (!recipe.tokenizer.has_value()) return models;
  for (const TokenRule& rule : recipe.tokenizer->rules) {
    if (!rule.model.empty()) models.push_back(rule.model);
  }
  return models;
}

absl::Status CheckTokenRules(const Recipe& recipe, const std::vector<std::string>& inputs,
                             const std::function<std::string(const std::string&)>& canonical) {
  if (!recipe.tokenizer.has_value()) return absl::OkStatus();
  for (const TokenRule& rule : recipe.tokenizer->rules) {
    if (rule.model.empty()) continue;
    const std::string wanted = canonical(rule.model);
    const bool merged = std::any_of(inputs.begin(), inputs.end(), [&](const std::string& input) {
      return canonical(input) == wanted;
    });
    if (merged) continue;
    const std::string key = absl::StrCat("tokenizer.tokens.", Shown(rule.token), ".source");
    std::vector<std::string> names;
    names.reserve(inputs.size());
    for (const std::string& input : inputs) names.push_back(Shown(input));
    return WithPlace(absl::InvalidArgumentError(absl::StrCat(
                         Shown(recipe.source_name), ":", rule.line, ": key '", key,
                         "': found model ", Shown(rule.model),
                         ", which is not merged; expected one of ", absl::StrJoin(names, ", "))),
                     rule.line, key);
  }
  return absl::OkStatus();
}

}  // namespace merganser
