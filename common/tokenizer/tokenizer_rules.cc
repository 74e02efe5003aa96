#include "common/tokenizer/tokenizer_rules.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/config/json_append.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::json;
using Steps = std::vector<Json>;

std::string TypeOf(const Json& step) {
  const auto type = step.find("type");
  return type != step.end() && type->is_string() ? type->get<std::string>() : "";
}

// Older versions say add_prefix_space where later ones say prepend_scheme and split.
void SettleMetaspace(Json& step) {
  const bool prefix = step.value("add_prefix_space", Json(true)) != Json(false);
  if (!step.contains("prepend_scheme")) step["prepend_scheme"] = prefix ? "always" : "never";
  if (!step.contains("split")) step["split"] = true;
  step.erase("add_prefix_space");
  step.erase("str_rep");
}

// One spelling of a step; `key`: of the tokenizer.
void Settle(std::string_view key, Json& step) {
  const std::string type = TypeOf(step);
  if (type == "Metaspace") SettleMetaspace(step);
  if (type == "ByteLevel" && key == "pre_tokenizer") {
    step.erase("trim_offsets");  // of no consequence for tokens
    if (!step.contains("use_regex")) step["use_regex"] = true;
  }
  if (type == "ByteLevel" && (key == "decoder" || key == "normalizer")) {
    step = Json::object({{"type", type}});
  }
  if (type == "Punctuation" && !step.contains("behavior")) step["behavior"] = "Isolated";
}

// The steps of a value, whose sequences may hold sequences. ReadJson has bounded their depth.
void Flatten(std::string_view key, const Json& value, Steps& steps) {
  if (!value.is_object()) return;
  if (TypeOf(value) != "Sequence") {
    steps.push_back(value);
    Settle(key, steps.back());
    return;
  }
  for (const auto& [name, list] : value.items()) {
    if (!list.is_array()) continue;
    for (const Json& step : list) Flatten(key, step, steps);
  }
}

// Numbers of tokens are another comparison's.
void DropNumbers(Json& value) {
  if (value.is_number()) value = nullptr;
  if (!value.is_structured()) return;
  for (Json& part : value) DropNumbers(part);
}

std::string ShownJsonValue(const Json& value) {
  if (value.is_null()) return "none";
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return Shown(Cut(text, 80));
}

std::string Types(const Steps& steps) {
  if (steps.empty()) return "none";
  return absl::StrJoin(steps, " + ", [](std::string* out, const Json& step) {
    out->append(Shown(Cut(TypeOf(step), 80)));
  });
}

// The first key of two steps of one type, or of two settings, that differs.
std::string FirstDifference(const Json& first, const Json& other) {
  if (!first.is_object() || !other.is_object()) {
    return absl::StrCat(ShownJsonValue(other), ", not ", ShownJsonValue(first));
  }
  for (const Json* keys : {&first, &other}) {
    for (const auto& [key, unused] : keys->items()) {
      const Json a = first.value(key, Json());
      const Json b = other.value(key, Json());
      if (a == b) continue;
      const std::string type = TypeOf(first);
      return absl::StrCat(Shown(Cut(absl::StrCat(type, type.empty() ? "" : ".", key), 80)), " is ",
                          ShownJsonValue(b), ", not ", ShownJsonValue(a));
    }
  }
  return "it differs";
}

std::optional<std::string> CompareSteps(const Steps& first, const Steps& other) {
  if (first == other) return std::nullopt;
  if (Types(first) != Types(other)) return absl::StrCat(Types(other), ", not ", Types(first));
  for (size_t i = 0; i < first.size() && i < other.size(); ++i) {
    if (first[i] != other[i]) return FirstDifference(first[i], other[i]);
  }
  return "it differs";
}

// Which mark stands for a space; empty where none does.
std::string SpaceMark(const Steps& steps) {
  for (const Json& step : steps) {
    if (TypeOf(step) == "Metaspace") return ShownJsonValue(step.value("replacement", Json("▁")));
  }
  return "";
}

bool Has(const Steps& steps, std::string_view type) {
  return std::any_of(steps.begin(), steps.end(),
                     [&](const Json& step) { return TypeOf(step) == type; });
}

struct Option {
  const char* key;
  Json usual;  // what a file that does not say it means
  bool tokens_differ;
};
const std::vector<Option>& Options() {
  static const std::vector<Option>* const options = new std::vector<Option>{
      {"byte_fallback", false, true},   {"continuing_subword_prefix", "", true},
      {"end_of_word_suffix", "", true}, {"unk_token", nullptr, false},
      {"fuse_unk", false, false},       {"ignore_merges", false, false},
      {"dropout", 0.0, false},          {"max_input_chars_per_word", 100, false},
  };
  return *options;
}

}  // namespace

struct TokenizerRules::Parts {
  Parts() : model(Json::object()) {}

  Steps normalizer, pre_tokenizer, decoder, post_processor;
  Json truncation, padding;
  Json model;  // an object: options of the vocabulary's kind

  // Whether a token's characters stand for bytes.
  bool ByteLevel() const;
};

bool TokenizerRules::Parts::ByteLevel() const {
  return Has(normalizer, "ByteLevel") || Has(pre_tokenizer, "ByteLevel") ||
         Has(decoder, "ByteLevel");
}

std::string TokenizerRules::Mark(const std::string& option) const {
  const auto at = parts_->model.find(option);
  return at != parts_->model.end() && at->is_string() ? at->get<std::string>() : "";
}

TokenizerRules ReadTokenizerRules(std::string_view text, std::string_view kind) {
  const auto parts = std::make_shared<TokenizerRules::Parts>();
  TokenizerRules::Parts& rules = *parts;
  const auto parsed = [&](const JsonMember& member) {
    return Json::parse(text.substr(member.begin, member.end - member.begin), nullptr,
                       /*allow_exceptions=*/false);
  };
  for (const Option& option : Options()) rules.model[option.key] = option.usual;
  if (kind == "WordPiece") rules.model["continuing_subword_prefix"] = "##";
  for (const JsonMember& member : JsonMembers(text)) {
    if (member.key == "model") {
      for (const JsonMember& option : JsonMembers(text, member.begin)) {
        if (!rules.model.contains(option.key)) continue;
        const Json value = parsed(option);
        if (!value.is_null()) rules.model[option.key] = value;
      }
    }
    if (member.key == "normalizer") Flatten(member.key, parsed(member), rules.normalizer);
    if (member.key == "pre_tokenizer") Flatten(member.key, parsed(member), rules.pre_tokenizer);
    if (member.key == "decoder") Flatten(member.key, parsed(member), rules.decoder);
    if (member.key == "truncation") rules.truncation = parsed(member);
    if (member.key == "padding") rules.padding = parsed(member);
    if (member.key == "post_processor") {
      Flatten(member.key, parsed(member), rules.post_processor);
      for (Json& step : rules.post_processor) DropNumbers(step);
    }
  }
  return TokenizerRules(parts);
}

std::vector<RuleDifference> CompareRules(const TokenizerRules& mine, const TokenizerRules& theirs) {
  const TokenizerRules::Parts& first = mine.parts();
  const TokenizerRules::Parts& other = theirs.parts();
  std::vector<RuleDifference> found;
  if (first.ByteLevel() != other.ByteLevel()) {
    found.push_back({kByteLevelRule,
                     other.ByteLevel() ? "its tokens are made of bytes, not of characters"
                                       : "its tokens are made of characters, not of bytes",
                     true, true});
  }
  for (const Option& option : Options()) {
    const Json& a = first.model[option.key];
    const Json& b = other.model[option.key];
    if (a == b) continue;
    found.push_back({absl::StrCat("model.", option.key),
                     absl::StrCat(ShownJsonValue(b), ", not ", ShownJsonValue(a)),
                     option.tokens_differ, option.tokens_differ});
  }
  const std::string mark = SpaceMark(first.pre_tokenizer);
  const std::string other_mark = SpaceMark(other.pre_tokenizer);
  const bool marks_differ = !mark.empty() && !other_mark.empty() && mark != other_mark;
  if (const auto what = CompareSteps(first.normalizer, other.normalizer)) {
    found.push_back({"normalizer", *what, false, true});
  }
  if (const auto what = CompareSteps(first.pre_tokenizer, other.pre_tokenizer)) {
    found.push_back({"pre_tokenizer", *what, marks_differ, true});
  }
  if (const auto what = CompareSteps(first.decoder, other.decoder)) {
    found.push_back({"decoder", *what, false, false});
  }
  if (const auto what = CompareSteps(first.post_processor, other.post_processor)) {
    found.push_back({"post_processor", *what, false, false});
  }
  if (first.truncation != other.truncation) {
    found.push_back(
        {"truncation", FirstDifference(first.truncation, other.truncation), false, false});
  }
  if (first.padding != other.padding) {
    found.push_back({"padding", FirstDifference(first.padding, other.padding), false, false});
  }
  return found;
}

}  // namespace merganser
