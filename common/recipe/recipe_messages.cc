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
namespace {

// Of `known` the word that a slip would make `key` of; empty where none is near.
std::string_view Nearest(std::string_view key, std::span<const std::string_view> known) {
  // A key as long as a page is nobody's typing error, and costs time to compare.
  constexpr size_t kLongest = 64;
  if (key.size() > kLongest) return "";
  std::string_view nearest;
  size_t best = key.size();
  for (const std::string_view word : known) {
    const size_t distance = EditDistance(key, word);
    if (distance >= best) continue;
    best = distance;
    nearest = word;
  }
  return best <= std::max<size_t>(2, nearest.size() / 2) ? nearest : "";
}

}  // namespace

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
  if (const std::string_view nearest = Nearest(member.key, known); !nearest.empty()) {
    return Error(member.line, path,
                 absl::StrCat("unknown; did you mean '", std::string(nearest), "'?"));
  }
  std::vector<std::string> words;
  for (const std::string_view word : known) words.emplace_back(word);
  return Error(member.line, path,
               absl::StrCat("unknown; known here: ", absl::StrJoin(words, ", ")));
}

bool RecipeMessages::IsNear(std::string_view key, std::span<const std::string_view> known) {
  return !Nearest(key, known).empty();
}

std::string RecipeMessages::WithoutEffect(int line, const std::string& key,
                                          std::string_view why) const {
  return absl::StrCat(Shown(source_), ":", line, ": key '", key,
                      "': accepted, but it has no effect here", why.empty() ? "" : ": ",
                      std::string(why));
}

std::string RecipeMessages::Doubt(int line, const std::string& key, const std::string& what) const {
  return absl::StrCat(Shown(source_), ":", line, ": key ", Quoted(key), ": ", what);
}

}  // namespace merganser
