// How a recipe names a model. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_MODEL_REF_READER_H_
#define MERGANSER_COMMON_RECIPE_MODEL_REF_READER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/recipe/recipe_messages.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {

// A path, a URI, org/name or org/name@REVISION, as it stands; or one of mergekit's long forms,
// {path: P, revision: R} and {model: {path: P}}, whose P is taken as it stands. Adapters, and
// revisions of what is no org/name, are errors that say what to do.
class ModelRefReader {
 public:
  // Both must outlive the object; `notes` gets what was accepted without effect.
  ModelRefReader(const RecipeMessages& messages, std::vector<std::string>& notes)
      : messages_(messages), notes_(notes) {}

  absl::Status Read(const YamlNode& node, const std::string& key, std::string& out) const;

 private:
  absl::Status ReadLocation(const YamlNode& node, const std::string& key, std::string& out) const;
  absl::Status ReadLong(const YamlNode& node, const std::string& key, std::string& out) const;

  const RecipeMessages& messages_;
  std::vector<std::string>& notes_;
};

// A name in text that is neither empty nor what YAML takes for a number or a boolean.
absl::Status ReadNameText(const YamlNode& node, const std::string& key, const std::string& expected,
                          const RecipeMessages& messages, std::string& out);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_MODEL_REF_READER_H_
