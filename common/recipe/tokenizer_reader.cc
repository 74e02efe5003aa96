#include "common/recipe/tokenizer_reader.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/recipe_keys.h"
#include "common/recipe/yaml_scalar.h"

namespace merganser {

absl::Status ReadTokenizerSource(const YamlNode& node, const std::string& key,
                                 const RecipeMessages& messages, const ModelRefReader& references,
                                 Recipe& out) {
  if (out.tokenizer.has_value()) {
    return messages.Error(node.line, key,
                          "found both tokenizer and tokenizer_source, expected one");
  }
  TokenizerSource source;
  source.line = node.line;
  source.key = key;
  if (node.kind == YamlNode::Kind::kScalar) {
    source.any = node.text == "union";
    source.base = source.any || node.text == "base";
  }
  if (!source.base) MERGANSER_RETURN_IF_ERROR(references.Read(node, key, source.model));
  out.tokenizer = std::move(source);
  return absl::OkStatus();
}

absl::Status ReadTokenizerMap(const YamlNode& node, const std::string& key,
                              const RecipeMessages& messages, const ModelRefReader& references,
                              Recipe& out) {
  if (node.kind != YamlNode::Kind::kMap) {
    return messages.Wrong(node, key, "a map such as {source: base}; tokenizer_source takes a name");
  }
  const YamlNode* source = nullptr;
  const std::vector<std::string_view> known = KnownKeys(KeyPlace::kTokenizer);
  for (const YamlNode::Member& part : node.members) {
    const std::string part_key = absl::StrCat(key, ".", Shown(part.key));
    const RecipeKey* row = FindRecipeKey(KeyPlace::kTokenizer, part.key);
    if (row == nullptr) return messages.Unknown(part, key, known);
    // An empty map of tokens replaces none.
    if (part.value->kind == YamlNode::Kind::kNull ||
        (part.value->kind == YamlNode::Kind::kMap && part.value->members.empty() &&
         part.key == "tokens")) {
      continue;
    }
    switch (row->verdict) {
      case KeyVerdict::kAccepted:
        source = part.value.get();
        break;
      case KeyVerdict::kNoted:
        out.notes.push_back(messages.WithoutEffect(part.line, part_key, row->about));
        break;
      case KeyVerdict::kWarned:
        out.warnings.push_back(messages.Doubt(part.line, part_key, std::string(row->about)));
        break;
      case KeyVerdict::kRefused:
        return messages.Error(part.line, part_key, std::string(row->about));
    }
  }
  if (source != nullptr) {
    return ReadTokenizerSource(*source, absl::StrCat(key, ".source"), messages, references, out);
  }
  // mergekit's own default.
  YamlNode all;
  all.kind = YamlNode::Kind::kScalar;
  all.text = "union";
  all.line = node.line;
  return ReadTokenizerSource(all, key, messages, references, out);
}

absl::Status ReadChatTemplate(const YamlNode& node, const std::string& key,
                              const RecipeMessages& messages, Recipe& out) {
  constexpr size_t kShortest = 20;  // as mergekit tells a template from a name
  const auto names = ChatTemplateNames();
  std::vector<std::string> words = {"auto"};
  for (const std::string_view name : names) words.emplace_back(name);
  if (node.kind == YamlNode::Kind::kScalar && node.text.empty()) return absl::OkStatus();
  const bool known = node.kind == YamlNode::Kind::kScalar &&
                     std::find(words.begin(), words.end(), node.text) != words.end();
  const bool text = node.kind == YamlNode::Kind::kScalar && node.text.size() >= kShortest &&
                    node.text.find('{') != std::string::npos;
  if (!known && !text) {
    return messages.Wrong(
        node, key,
        absl::StrCat("one of ", absl::StrJoin(words, ", "), ", or the text of a Jinja template"));
  }
  out.chat_template = ChatTemplate{node.text, node.line};
  return absl::OkStatus();
}

}  // namespace merganser
