#include "common/recipe/recipe_messages.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/edit_distance.h"
#include "common/base/shown.h"
#include "common/format/text.h"
#include "common/recipe/recipe_place.h"
#include "common/recipe/yaml_scalar.h"

namespace merganser {

absl::Status RecipeMessages::Error(int line, const std::string& key,
                                   const std::string& what) const {
  return WithPlace(YamlError(source_, line, absl::StrCat("key ", Quoted(key), ": ", what)), line,
                   key);
}

absl::Status RecipeMessages::Wrong(const YamlNode& node, const std::string& key,
                                   const std::string& expected) const {
  return Error(node.line, key, absl::StrCat("found ", DescribeNode(node), ", expected ", expected));
}

absl::Status RecipeMessages::Unknown(const YamlNode::Member& member, const std::string& parent,
                                     std::span<const std::string_view> known) const {
  const std::string path =
      parent.empty() ? member.key : absl::StrCat(parent, ".", Shown(member.key));
  std::string nearest;
  // A key as long as a page is nobody's typing error, and costs time to compare.
  constexpr size_t kLongest = 64;
  size_t best = std::min(member.key.size(), kLongest);
  for (const std::string_view word : known) {
    if (member.key.size() > kLongest) break;
    const size_t distance = EditDistance(member.key, word);
    if (distance >= best) continue;
    best = distance;
    nearest = std::string(word);
  }
  if (!nearest.empty() && best <= std::max<size_t>(2, nearest.size() / 2)) {
    return Error(member.line, path, absl::StrCat("unknown; did you mean '", nearest, "'?"));
  }
  std::vector<std::string> words;
  for (const std::string_view word : known) words.emplace_back(word);
  return Error(member.line, path,
               absl::StrCat("unknown; known here: ", absl::StrJoin(words, ", ")));
}

std::string RecipeMessages::WithoutEffect(int line, const std::string& key) const {
  return absl::StrCat(Shown(source_), ":", line, ": key '", key,
                      "': accepted, but it has no effect here");
}

}  // namespace merganser
