// `tokenizer: {tokens: ...}`: where single tokens' rows come from. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_TOKEN_RULE_READER_H_
#define MERGANSER_COMMON_RECIPE_TOKEN_RULE_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/recipe/model_ref_reader.h"
#include "common/recipe/recipe.h"
#include "common/recipe/recipe_messages.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {

// The map of tokens at `key`. Whether the models named take part is not asked here.
absl::Status ReadTokenRules(const YamlNode& map, const std::string& key,
                            const RecipeMessages& messages, const ModelRefReader& references,
                            std::vector<TokenRule>& out);

// `pad_to_multiple_of`, a whole number; 0 and 1 pad nothing, and are 0.
absl::Status ReadPadding(const YamlNode& node, const std::string& key,
                         const RecipeMessages& messages, uint64_t& out);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_TOKEN_RULE_READER_H_
