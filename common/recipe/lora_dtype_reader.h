// How a recipe says what adapters' products are rounded to. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_LORA_DTYPE_READER_H_
#define MERGANSER_COMMON_RECIPE_LORA_DTYPE_READER_H_

#include <string>

#include "absl/status/status.h"
#include "common/recipe/recipe.h"
#include "common/recipe/recipe_messages.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {

// `lora_dtype`: bfloat16 or float16, or float32, which is the same as leaving it out.
absl::Status ReadLoraDType(const YamlNode& node, const std::string& key,
                           const RecipeMessages& messages, Recipe& out);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_LORA_DTYPE_READER_H_
