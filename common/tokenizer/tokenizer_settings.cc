// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say of tokens, as
// transformers read them (PreTrainedTokenizerBase._from_pretrained of versions 4 and 5).
#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/format/json_events.h"
#include "common/format/python_numbers.h"
#include "common/format/text.h"
#include "common/tokenizer/tokenizer_tokens.h"

namespace merganser {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 64;
constexpr char kConfigFile[] = "tokenizer_config.json";
constexpr char kMapFile[] = "special_tokens_map.json";
constexpr char kAddedFile[] = "added_tokens.json";
constexpr char kDecoder[] = "added_tokens_decoder";
constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};
constexpr const char* kMoreTokens[] = {"additional_special_tokens", "extra_special_tokens"};

// Depth and well-formedness are what ReadJson checks.
class Ignore final : public JsonHandler {
 public:
  absl::Status On(const JsonEvent&) override { return absl::OkStatus(); }
};

absl::Status Wrong(const TokenizerFiles& files, std::string_view file, std::string_view key,
                   const Json& found, std::string_view expected) {
  return absl::DataLossError(
      absl::StrCat(TokenizerPlace(files, file), ": key ", Quoted(key), ": found ",
                   Shown(found.dump(-1, ' ', false, Json::error_handler_t::replace)), ", expected ",
                   std::string(expected)));
}

// The object in a file; null where there is none.
absl::StatusOr<Json> ReadObject(const TokenizerFiles& files, std::string_view name) {
  const auto text = files.texts.find(name);
  if (text == files.texts.end()) return Json();
  const std::string standard = ReplacePythonNumbers(text->second, UnusedNumbers(text->second));
  Ignore ignore;
  MERGANSER_RETURN_IF_ERROR(
      Annotate(ReadJson(standard, kMaxDepth, ignore), TokenizerPlace(files, name)));
  Json json = Json::parse(standard, nullptr, /*allow_exceptions=*/false);
  if (json.is_object()) return json;
  return absl::DataLossError(absl::StrCat(TokenizerPlace(files, name), ": found ", json.type_name(),
                                          ", expected a JSON object"));
}

// A token as a text, or as an object with its flags.
std::optional<SettledToken> TokenOf(const Json& value, bool special) {
  SettledToken token;
  token.flags.special = special;
  token.flags.normalized = !special;
  if (value.is_string()) {
    token.text = value.get<std::string>();
    return token;
  }
  if (!value.is_object() || !value.contains("content") || !value["content"].is_string()) {
    return std::nullopt;
  }
  token.text = value["content"].get<std::string>();
  const auto flag = [&](const char* key, bool otherwise) {
    return value.contains(key) && value[key].is_boolean() ? value[key].get<bool>() : otherwise;
  };
  token.flags.special = flag("special", special);
  token.flags.lstrip = flag("lstrip", false);
  token.flags.rstrip = flag("rstrip", false);
  token.flags.single_word = flag("single_word", false);
  token.flags.normalized = flag("normalized", !token.flags.special);
  return token;
}

absl::Status ReadDecoder(const TokenizerFiles& files, const Json& decoder,
                         std::vector<SettledToken>& tokens) {
  if (!decoder.is_object()) {
    return Wrong(files, kConfigFile, kDecoder, decoder, "an object of tokens by their numbers");
  }
  for (const auto& [number, value] : decoder.items()) {
    const std::string key = absl::StrCat(kDecoder, ".", number);
    uint32_t said = 0;
    if (!absl::SimpleAtoi(number, &said)) {
      return Wrong(files, kConfigFile, key, value, "a number for a key");
    }
    std::optional<SettledToken> token = value.is_object() ? TokenOf(value, false) : std::nullopt;
    if (!token.has_value()) {
      return Wrong(files, kConfigFile, key, value, "a token's content and flags");
    }
    token->decoder = true;
    token->said = said;
    tokens.push_back(*std::move(token));
  }
  return absl::OkStatus();
}

absl::Status ReadAddedFile(const TokenizerFiles& files, const Json& json,
                           std::vector<SettledToken>& tokens) {
  for (const auto& [text, number] : json.items()) {
    if (!number.is_number_unsigned() || number.get<uint64_t>() > UINT32_MAX) {
      return Wrong(files, kAddedFile, text, number, "a token's number");
    }
    SettledToken token;
    token.text = text;
    token.flags.normalized = true;
    token.said = number.get<uint64_t>();
    tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<SettledToken>> ReadSettledTokens(const TokenizerFiles& files) {
  MERGANSER_ASSIGN_OR_RETURN(Json config, ReadObject(files, kConfigFile));
  MERGANSER_ASSIGN_OR_RETURN(const Json map, ReadObject(files, kMapFile));
  MERGANSER_ASSIGN_OR_RETURN(const Json added, ReadObject(files, kAddedFile));
  if (config.is_null()) config = Json::object();
  std::vector<SettledToken> tokens;
  if (config.contains(kDecoder) && !config[kDecoder].is_null()) {
    MERGANSER_RETURN_IF_ERROR(ReadDecoder(files, config[kDecoder], tokens));
  } else {
    // Without it the older files have their say, the map's over the config's.
    if (map.is_object()) config.update(map);
    if (added.is_object()) MERGANSER_RETURN_IF_ERROR(ReadAddedFile(files, added, tokens));
  }
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const SettledToken& a, const SettledToken& b) { return a.said < b.said; });

  std::vector<SettledToken> special;
  const auto take = [&](std::string_view key, const Json& value) -> absl::Status {
    if (value.is_null()) return absl::OkStatus();
    std::optional<SettledToken> token = TokenOf(value, true);
    if (!token.has_value()) return Wrong(files, kConfigFile, key, value, "a token");
    special.push_back(*std::move(token));
    return absl::OkStatus();
  };
  for (const char* key : kSpecialTokens) {
    if (config.contains(key)) MERGANSER_RETURN_IF_ERROR(take(key, config[key]));
  }
  for (const char* key : kMoreTokens) {
    if (!config.contains(key) || !config[key].is_structured()) continue;
    for (const Json& value : config[key]) MERGANSER_RETURN_IF_ERROR(take(key, value));
  }
  std::unordered_map<std::string, size_t> index;
  for (size_t i = 0; i < tokens.size(); ++i) index.emplace(tokens[i].text, i);
  for (SettledToken& token : special) {
    const auto [at, fresh] = index.emplace(token.text, tokens.size());
    if (fresh) {
      tokens.push_back(std::move(token));
    } else if (SettledToken& known = tokens[at->second]; !known.decoder) {
      known.flags = token.flags;  // added_tokens.json has none
    }
  }
  return tokens;
}

}  // namespace merganser
