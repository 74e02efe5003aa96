// A YAML document as a small tree with lines, whatever its author meant to do
// to the reader. Private to this folder.
#ifndef MERGANSER_COMMON_RECIPE_YAML_TREE_H_
#define MERGANSER_COMMON_RECIPE_YAML_TREE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace merganser {

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  int line = 0;  // from 1
  // Scalars. `plain`: not quoted and not a block, so that it may be a number or
  // a boolean.
  std::string text;
  bool plain = false;
  std::vector<std::shared_ptr<const YamlNode>> items;
  struct Member {
    std::string key;
    int line = 0;
    std::shared_ptr<const YamlNode> value;
  };
  std::vector<Member> members;  // keys are distinct
  // Nodes in this subtree with every alias written out.
  size_t expanded = 1;

  // nullptr when there is no such member.
  const Member* Find(std::string_view key) const {
    for (const Member& member : members) {
      if (member.key == key) return &member;
    }
    return nullptr;
  }
};

// Nodes that a document may have when its aliases are written out, and levels.
inline constexpr size_t kMaxYamlNodes = 100'000;
inline constexpr size_t kMaxYamlDepth = 64;

// Reads exactly one document; empty ones beside it do not count. Aliases share their node, merge
// keys (<<) are resolved. Syntax errors, keys that repeat or are not scalars, application tags,
// control characters, text that is not UTF-8, an alias inside its own anchor, and more nodes or
// levels than the limits are kInvalidArgument, "SOURCE:LINE: ...".
absl::StatusOr<std::shared_ptr<const YamlNode>> ParseYaml(std::string_view text,
                                                          std::string_view source_name);

// "SOURCE:LINE: what", kInvalidArgument.
absl::Status YamlError(std::string_view source_name, int line, std::string_view what);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_YAML_TREE_H_
