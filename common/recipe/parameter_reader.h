// A map of parameters as written. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_PARAMETER_READER_H_
#define MERGANSER_COMMON_RECIPE_PARAMETER_READER_H_

#include <string>

#include "absl/status/status.h"
#include "common/recipe/recipe.h"
#include "common/recipe/recipe_messages.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {

// Reads `node`, the map at `key`, into `out`; `notes` gets what was accepted
// without effect. Wrong settings name line and key.
absl::Status ReadParameters(const YamlNode& node, const std::string& key,
                            const RecipeMessages& messages, RecipeParameters& out,
                            std::vector<std::string>& notes);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_PARAMETER_READER_H_
