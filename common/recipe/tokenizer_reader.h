// What a recipe says of the output's tokenizer. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_TOKENIZER_READER_H_
#define MERGANSER_COMMON_RECIPE_TOKENIZER_READER_H_

#include <string>

#include "absl/status/status.h"
#include "common/recipe/model_ref_reader.h"
#include "common/recipe/recipe.h"
#include "common/recipe/recipe_messages.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {

// `tokenizer_source` and `tokenizer.source`: base, union, or a model.
absl::Status ReadTokenizerSource(const YamlNode& node, const std::string& key,
                                 const RecipeMessages& messages, const ModelRefReader& references,
                                 Recipe& out);

// `tokenizer`: a map of source, tokens and pad_to_multiple_of.
absl::Status ReadTokenizerMap(const YamlNode& node, const std::string& key,
                              const RecipeMessages& messages, const ModelRefReader& references,
                              Recipe& out);

absl::Status ReadChatTemplate(const YamlNode& node, const std::string& key,
                              const RecipeMessages& messages, Recipe& out);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_TOKENIZER_READER_H_
