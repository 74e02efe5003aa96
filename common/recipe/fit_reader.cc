#include "common/recipe/fit_reader.h"

#include "common/recipe/yaml_scalar.h"

namespace merganser {

absl::Status ReadRename(const YamlNode& node, const std::string& key,
                        const RecipeMessages& messages, Recipe& out) {
  if (node.kind != YamlNode::Kind::kScalar || (node.text != "auto" && node.text != "none")) {
    return messages.Wrong(node, key,
                          "auto (tensors are taken under the base's names where one renaming fits) "
                          "or none");
  }
  out.rename = node.text == "auto";
  return absl::OkStatus();
}

absl::Status ReadAllowPartial(const YamlNode& node, const std::string& key,
                              const RecipeMessages& messages, Recipe& out) {
  if (node.kind == YamlNode::Kind::kScalar) {
    const auto scalar = ReadScalar(node);
    if (const bool* value = scalar.ok() ? std::get_if<bool>(&*scalar) : nullptr) {
      out.allow_partial = *value;
      return absl::OkStatus();
    }
  }
  return messages.Wrong(node, key, "true or false");
}

}  // namespace merganser
