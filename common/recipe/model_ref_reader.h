// How a recipe names a model. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_MODEL_REF_READER_H_
#define MERGANSER_COMMON_RECIPE_MODEL_REF_READER_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/recipe/model_ref.h"
#include "common/recipe/recipe_messages.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {

// A path, a URI, org/name or org/name@REVISION, as it stands; BASE+ADAPTER of such; or one of the
// long forms, {path: P, revision: R}, {model: {path: P}} and {model: M, lora: ADAPTERS}, whose P is
// taken as it stands. Revisions of what is no org/name are errors that say what to do.
class ModelRefReader {
 public:
  // All must outlive the object. `notes` gets what was accepted without effect, `adapted` what the
  // names of models with adapters mean.
  ModelRefReader(const RecipeMessages& messages, std::vector<std::string>& notes,
                 std::map<std::string, ModelRef>& adapted)
      : messages_(messages), notes_(notes), adapted_(adapted) {}

  absl::Status Read(const YamlNode& node, const std::string& key, std::string& out) const;

  // The same, with the adapters of `lora` beside it, which stands under `lora_key`.
  absl::Status ReadWithAdapters(const YamlNode& node, const std::string& key, const YamlNode& lora,
                                const std::string& lora_key, std::string& out) const;

 private:
  absl::Status ReadRef(const YamlNode& node, const std::string& key, ModelRef& out) const;
  absl::Status ReadText(const YamlNode& node, const std::string& key, ModelRef& out) const;
  absl::Status ReadLong(const YamlNode& node, const std::string& key, ModelRef& out) const;
  absl::Status ReadLocation(const YamlNode& node, const std::string& key, std::string& out) const;
  absl::Status ReadRevision(const YamlNode::Member& revision, const std::string& key,
                            std::string& path) const;
  absl::Status ReadAdapters(const YamlNode& node, const std::string& key, ModelRef& out) const;
  absl::Status ReadAdapter(const YamlNode& node, const std::string& key, ModelRef& out) const;
  absl::Status CheckPart(const YamlNode& node, const std::string& key,
                         const std::string& part) const;
  // `name` means `ref` in the rest of the recipe.
  absl::Status TakeName(int line, const std::string& key, const ModelRef& ref,
                        const std::string& name) const;

  const RecipeMessages& messages_;
  std::vector<std::string>& notes_;
  std::map<std::string, ModelRef>& adapted_;
  mutable std::set<std::string> plain_;  // names of models without adapters
};

// A name in text that is neither empty nor what YAML takes for a number or a boolean.
absl::Status ReadNameText(const YamlNode& node, const std::string& key, const std::string& expected,
                          const RecipeMessages& messages, std::string& out);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_MODEL_REF_READER_H_
