// How the recipe's readers say what is wrong. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_RECIPE_MESSAGES_H_
#define MERGANSER_COMMON_RECIPE_RECIPE_MESSAGES_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {

// All are kInvalidArgument of one line, "SOURCE:LINE: key 'KEY': ...".
class RecipeMessages {
 public:
  // `source` must outlive the object.
  explicit RecipeMessages(std::string_view source) : source_(source) {}

  std::string_view source() const { return source_; }

  absl::Status Error(int line, const std::string& key, const std::string& what) const;
  // "found X, expected `expected`".
  absl::Status Wrong(const YamlNode& node, const std::string& key,
                     const std::string& expected) const;
  // Names the nearest of `known`, or all of them. `parent` is the key of the map, empty at the top.
  absl::Status Unknown(const YamlNode::Member& member, const std::string& parent,
                       std::span<const std::string_view> known) const;
  // Whether Unknown would name one of `known` as what was meant.
  static bool IsNear(std::string_view key, std::span<const std::string_view> known);
  // The note of a key that is accepted for the sake of existing files; `why` may be empty.
  std::string WithoutEffect(int line, const std::string& key, std::string_view why = "") const;
  // A warning.
  std::string Doubt(int line, const std::string& key, const std::string& what) const;

 private:
  std::string_view source_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_RECIPE_MESSAGES_H_
