// The models that a recipe's rules for single tokens name. Private to this folder.
#ifndef MERGANSER_COMMON_TOKENIZER_TOKEN_RULES_H_
#define MERGANSER_COMMON_TOKENIZER_TOKEN_RULES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/recipe/recipe.h"

namespace merganser {

// As written; none where the recipe has no rules.
std::vector<std::string> ModelsOfTokenRules(const Recipe& recipe);

// kInvalidArgument with place and model where a rule names one that is not among `inputs`, the
// models that are merged: rows come from their embeddings. `canonical` tells whether two names
// mean one model.
absl::Status CheckTokenRules(const Recipe& recipe, const std::vector<std::string>& inputs,
                             const std::function<std::string(const std::string&)>& canonical);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_TOKEN_RULES_H_
