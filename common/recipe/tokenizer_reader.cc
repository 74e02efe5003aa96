#include "common/recipe/tokenizer_reader.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/recipe_keys.h"
#include "common/recipe/yaml_scalar.h"

namespace merganser {
namespace {

// Tokens with sources for models that lack them: one whose embedding would replace others is an
// error. `out` gets their names.
absl::Status ReadTokens(const YamlNode& map, const std::string& key, const RecipeMessages& messages,
                        std::vector<std::string>& out) {
  constexpr std::string_view kKeys[] = {"force", "source"};
  if (map.kind != YamlNode::Kind::kMap) return messages.Wrong(map, key, "a map of tokens");
  for (const YamlNode::Member& token : map.members) {
    const std::string token_key = absl::StrCat(key, ".", Shown(token.key));
    const YamlNode& entry = *token.value;
    if (entry.kind != YamlNode::Kind::kMap) {
      return messages.Wrong(entry, token_key, "a map with source and force");
    }
    for (const YamlNode::Member& part : entry.members) {
      if (part.key != "source" && part.key != "force") {
        return messages.Unknown(part, token_key, kKeys);
      }
      if (part.key == "source" || part.value->kind == YamlNode::Kind::kNull) continue;
      if (part.value->kind == YamlNode::Kind::kScalar) {
        const auto scalar = ReadScalar(*part.value);
        const bool* forced = scalar.ok() ? std::get_if<bool>(&*scalar) : nullptr;
        if (forced != nullptr && !*forced) continue;
      }
      return messages.Error(part.line, absl::StrCat(token_key, ".force"),
                            "not supported by this version: embeddings of single tokens are not "
                            "replaced; leave it out, or bring the models to it first");
    }
    out.push_back(token.key);
  }
  return absl::OkStatus();
}

}  // namespace

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
  std::vector<std::string> tokens;
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
    if (part.key == "tokens") {
      MERGANSER_RETURN_IF_ERROR(ReadTokens(*part.value, part_key, messages, tokens));
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
  // mergekit's own default.
  YamlNode all;
  all.kind = YamlNode::Kind::kScalar;
  all.text = "union";
  all.line = node.line;
  MERGANSER_RETURN_IF_ERROR(ReadTokenizerSource(
      source != nullptr ? *source : all, source != nullptr ? absl::StrCat(key, ".source") : key,
      messages, references, out));
  out.tokenizer->tokens = std::move(tokens);
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
