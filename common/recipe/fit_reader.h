// What a recipe says of models whose tensors do not fit by name. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_FIT_READER_H_
#define MERGANSER_COMMON_RECIPE_FIT_READER_H_

#include <string>

#include "absl/status/status.h"
#include "common/recipe/recipe.h"
#include "common/recipe/recipe_messages.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {

// `rename`: auto, or none, which is the same as leaving it out.
absl::Status ReadRename(const YamlNode& node, const std::string& key,
                        const RecipeMessages& messages, Recipe& out);

// `allow_partial`: true or false.
absl::Status ReadAllowPartial(const YamlNode& node, const std::string& key,
                              const RecipeMessages& messages, Recipe& out);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_FIT_READER_H_
