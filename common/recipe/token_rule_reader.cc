// A token of the map is one of
//
//   <tool>: {source: a}                                           a model's rows, for those without
//   <tool>: {source: {kind: model_token, model: a, token: <|im_start|>}}    another token's
//   <tool>: {source: {kind: zero}, force: true}                   zeros, for all models
#include "common/recipe/token_rule_reader.h"

#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/recipe_keys.h"
#include "common/recipe/yaml_scalar.h"

namespace merganser {
namespace {

constexpr uint64_t kMaxTokenId = uint64_t{1} << 32;
// Beyond any hardware's liking; what is larger is a slip.
constexpr uint64_t kMaxMultiple = uint64_t{1} << 20;
constexpr std::string_view kModelToken = "model_token";
constexpr std::string_view kZero = "zero";

// A whole number in [0, most], in quotes too.
std::optional<uint64_t> WholeNumber(const YamlNode& node, uint64_t most) {
  if (node.kind != YamlNode::Kind::kScalar) return std::nullopt;
  YamlNode plain;
  plain.kind = YamlNode::Kind::kScalar;
  plain.text = node.text;
  plain.plain = true;
  const auto scalar = ReadScalar(plain);
  const double* number = scalar.ok() ? std::get_if<double>(&*scalar) : nullptr;
  if (number == nullptr || *number < 0 || *number > static_cast<double>(most)) return std::nullopt;
  const auto whole = static_cast<uint64_t>(*number);
  if (static_cast<double>(whole) != *number) return std::nullopt;
  return whole;
}

class RuleReader {
 public:
  RuleReader(std::string key, const RecipeMessages& messages, const ModelRefReader& references,
             TokenRule& rule)
      : key_(std::move(key)), messages_(messages), references_(references), rule_(rule) {}

  absl::Status Read(const YamlNode& entry) {
    if (entry.kind != YamlNode::Kind::kMap) {
      return messages_.Wrong(entry, key_, "a map with source and force");
    }
    const YamlNode* source = nullptr;
    for (const YamlNode::Member& part : entry.members) {
      if (FindRecipeKey(KeyPlace::kTokenRule, part.key) == nullptr) {
        return messages_.Unknown(part, key_, KnownKeys(KeyPlace::kTokenRule));
      }
      if (part.value->kind == YamlNode::Kind::kNull) continue;
      if (part.key == "source") {
        source = part.value.get();
      } else {
        MERGANSER_RETURN_IF_ERROR(ReadForce(*part.value));
      }
    }
    if (source != nullptr) return ReadSource(*source, absl::StrCat(key_, ".source"));
    return absl::OkStatus();
  }

 private:
  absl::Status ReadForce(const YamlNode& node) {
    const std::string key = absl::StrCat(key_, ".force");
    if (node.kind != YamlNode::Kind::kScalar) return messages_.Wrong(node, key, "true or false");
    const auto scalar = ReadScalar(node);
    if (!scalar.ok()) return messages_.Wrong(node, key, "true or false");
    if (const bool* truth = std::get_if<bool>(&*scalar); truth != nullptr) {
      rule_.force = *truth;
      return absl::OkStatus();
    }
    // As mergekit writes them back.
    const double* number = std::get_if<double>(&*scalar);
    if (number == nullptr || (*number != 0 && *number != 1)) {
      return messages_.Wrong(node, key, "true or false");
    }
    rule_.force = *number == 1;
    return absl::OkStatus();
  }

  absl::Status ReadSource(const YamlNode& node, const std::string& key) {
    const bool rows = node.kind == YamlNode::Kind::kMap &&
                      (node.Find("kind") != nullptr || node.Find("token") != nullptr ||
                       node.Find("token_id") != nullptr);
    if (rows) return ReadRows(node, key);
    rule_.kind = TokenRule::Kind::kModel;
    return references_.Read(node, key, rule_.model);
  }

  // The forms that say their kind.
  absl::Status ReadRows(const YamlNode& map, const std::string& key) {
    for (const YamlNode::Member& part : map.members) {
      if (FindRecipeKey(KeyPlace::kTokenRows, part.key) == nullptr) {
        return messages_.Unknown(part, key, KnownKeys(KeyPlace::kTokenRows));
      }
    }
    const auto has = [&](std::string_view name) -> const YamlNode* {
      const YamlNode::Member* member = map.Find(name);
      const bool there = member != nullptr && member->value->kind != YamlNode::Kind::kNull;
      return there ? member->value.get() : nullptr;
    };
    const YamlNode* kind = has("kind");
    const std::string kind_key = absl::StrCat(key, ".kind");
    if (kind == nullptr) {
      return messages_.Error(map.line, kind_key, "missing, expected model_token or zero");
    }
    if (kind->kind != YamlNode::Kind::kScalar ||
        (kind->text != kModelToken && kind->text != kZero)) {
      return messages_.Wrong(*kind, kind_key, "model_token or zero");
    }
    const YamlNode* model = has("model");
    const YamlNode* token = has("token");
    const YamlNode* number = has("token_id");
    if (kind->text == kZero) {
      if (model == nullptr && token == nullptr && number == nullptr) {
        rule_.kind = TokenRule::Kind::kZero;
        return absl::OkStatus();
      }
      return messages_.Error(map.line, key,
                             "found a model's token beside kind: zero, expected kind: model_token "
                             "or the kind alone");
    }
    if (model == nullptr) {
      return messages_.Error(map.line, absl::StrCat(key, ".model"),
                             "missing, expected a model that is merged");
    }
    if ((token == nullptr) == (number == nullptr)) {
      return messages_.Error(map.line, absl::StrCat(key, ".token"),
                             token == nullptr ? "missing, expected token or token_id"
                                              : "found token and token_id, expected one of them");
    }
    rule_.kind = TokenRule::Kind::kModelToken;
    MERGANSER_RETURN_IF_ERROR(references_.Read(*model, absl::StrCat(key, ".model"), rule_.model));
    if (token != nullptr) {
      if (token->kind != YamlNode::Kind::kScalar || token->text.empty()) {
        return messages_.Wrong(*token, absl::StrCat(key, ".token"), "a token's text");
      }
      rule_.source_token = token->text;
      return absl::OkStatus();
    }
    rule_.source_token_id = WholeNumber(*number, kMaxTokenId);
    if (rule_.source_token_id.has_value()) return absl::OkStatus();
    return messages_.Wrong(*number, absl::StrCat(key, ".token_id"),
                           "a token's number: a whole number from 0");
  }

  const std::string key_;
  const RecipeMessages& messages_;
  const ModelRefReader& references_;
  TokenRule& rule_;
};

}  // namespace

absl::Status ReadTokenRules(const YamlNode& map, const std::string& key,
                            const RecipeMessages& messages, const ModelRefReader& references,
                            std::vector<TokenRule>& out) {
  if (map.kind != YamlNode::Kind::kMap) return messages.Wrong(map, key, "a map of tokens");
  for (const YamlNode::Member& token : map.members) {
    TokenRule rule;
    rule.token = token.key;
    rule.line = token.line;
    RuleReader reader(absl::StrCat(key, ".", Shown(token.key)), messages, references, rule);
    MERGANSER_RETURN_IF_ERROR(reader.Read(*token.value));
    out.push_back(std::move(rule));
  }
  return absl::OkStatus();
}

absl::Status ReadPadding(const YamlNode& node, const std::string& key,
                         const RecipeMessages& messages, uint64_t& out) {
  const std::optional<uint64_t> multiple = WholeNumber(node, kMaxMultiple);
  if (!multiple.has_value()) {
    return messages.Wrong(node, key,
                          absl::StrCat("a whole number such as 64, at most ", kMaxMultiple,
                                       ": the embeddings' rows become a multiple of it"));
  }
  out = *multiple > 1 ? *multiple : 0;
  return absl::OkStatus();
}

}  // namespace merganser
