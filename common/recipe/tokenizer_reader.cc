#include "common/recipe/tokenizer_reader.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/recipe_keys.h"
#include "common/recipe/token_rule_reader.h"

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
  std::vector<TokenRule> rules;
  uint64_t multiple = 0;
  const std::vector<std::string_view> known = KnownKeys(KeyPlace::kTokenizer);
  for (const YamlNode::Member& part : node.members) {
    const std::string part_key = absl::StrCat(key, ".", Shown(part.key));
    if (FindRecipeKey(KeyPlace::kTokenizer, part.key) == nullptr) {
      return messages.Unknown(part, key, known);
    }
    if (part.value->kind == YamlNode::Kind::kNull) continue;
    if (part.key == "tokens") {
      MERGANSER_RETURN_IF_ERROR(ReadTokenRules(*part.value, part_key, messages, references, rules));
    } else if (part.key == "pad_to_multiple_of") {
      MERGANSER_RETURN_IF_ERROR(ReadPadding(*part.value, part_key, messages, multiple));
    } else {
      source = part.value.get();
    }
  }
  // mergekit's own default.
  YamlNode all;
  all.kind = YamlNode::Kind::kScalar;
  all.text = "union";
  all.line = node.line;
  MERGANSER_RETURN_IF_ERROR(ReadTokenizerSource(
      source != nullptr ? *source : all, source != nullptr ? absl::StrCat(key, ".source") : key,
      messages, references, out));
  out.tokenizer->rules = std::move(rules);
  out.tokenizer->pad_to_multiple_of = multiple;
  return absl::OkStatus();
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
