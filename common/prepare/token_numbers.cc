#include "common/prepare/token_numbers.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/auxiliary/auxiliary_files.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/vocabulary.h"
#include "common/config/json_text.h"
#include "common/format/python_numbers.h"
#include "common/format/text.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

using Json = nlohmann::json;

constexpr char kConfigFile[] = "config.json";
constexpr char kGenerationFile[] = "generation_config.json";
constexpr char kTextConfig[] = "text_config";
// What every language model may have: added where only the tokenizer's model says it.
constexpr std::string_view kOfEveryModel[] = {"bos_token_id", "eos_token_id", "pad_token_id"};

absl::StatusOr<Json> ParseObject(std::string_view text, std::string_view what) {
  if (NestsDeeply(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(what), ": found JSON that is nested deeper than ", kMaxJsonDepth,
                     " levels, expected the settings of a model"));
  }
  Json json = Json::parse(ReplacePythonNumbers(text, UnusedNumbers(text)), nullptr,
                          /*allow_exceptions=*/false);
  if (json.is_object()) return json;
  return absl::InvalidArgumentError(
      absl::StrCat(Shown(what), ": found no JSON object, expected the settings of a model"));
}

// nullptr where there is none.
const Json* Member(const Json& object, std::string_view key) {
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}
const Json* TextConfig(const Json& config) {
  const Json* nested = Member(config, kTextConfig);
  return nested != nullptr && nested->is_object() ? nested : nullptr;
}

// [0, 15] on one line.
std::string JsonText(const Json& value) {
  if (!value.is_array()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string text = "[";
  for (const Json& one : value) absl::StrAppend(&text, text.size() > 1 ? ", " : "", JsonText(one));
  return text + "]";
}

// `value`, a number or a list of them, with the numbers of another tokenizer.
absl::StatusOr<Json> Renumbered(const Json& value, const NewNumber& renumber) {
  if (value.is_array()) {
    Json list = Json::array();
    for (const Json& one : value) {
      MERGANSER_ASSIGN_OR_RETURN(Json other, Renumbered(one, renumber));
      list.push_back(std::move(other));
    }
    return list;
  }
  if (!value.is_number_unsigned()) return value;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<uint64_t> number, renumber(value.get<uint64_t>()));
  return number.has_value() ? Json(*number) : value;
}

// Of the keys of `object`: what `donor`, else `second` has, where they differ.
absl::Status TakeNumbers(const Json& object, const Json* donor, const Json* second,
                         const NewNumber& renumber, JsonValues& out) {
  for (const auto& [key, value] : object.items()) {
    if (!NamesTokens(key)) continue;
    const Json* taken = donor == nullptr ? nullptr : Member(*donor, key);
    if (taken == nullptr && second != nullptr) taken = Member(*second, key);
    Json other;
    if (taken != nullptr) {
      other = *taken;
    } else {
      MERGANSER_ASSIGN_OR_RETURN(other, Renumbered(value, renumber));
    }
    if (other != value) out[key] = {JsonText(other)};
  }
  return absl::OkStatus();
}

// Numbers of tokens by their spelling, of two tokenizers that are read when one is asked for.
class Renumbering {
 public:
  Renumbering(const Checkpoint& from, const Checkpoint& to) : from_(from), to_(to) {}

  absl::StatusOr<std::optional<uint64_t>> operator()(uint64_t number) {
    if (!read_) {
      MERGANSER_ASSIGN_OR_RETURN(old_, ReadVocabulary(from_));
      MERGANSER_ASSIGN_OR_RETURN(new_, ReadVocabulary(to_));
      read_ = true;
    }
    if (!old_.has_value() || !new_.has_value() || old_->digest == new_->digest) {
      return std::optional<uint64_t>();
    }
    for (const auto& [token, of] : old_->tokens) {
      if (of != number) continue;
      const auto it = new_->tokens.find(token);
      if (it != new_->tokens.end()) return it->second;
      lost_.emplace(number, token);
      break;
    }
    return std::optional<uint64_t>();
  }
  // Numbers that were asked for whose tokens the new one lacks.
  const std::map<uint64_t, std::string>& lost() const { return lost_; }

 private:
  const Checkpoint& from_;
  const Checkpoint& to_;
  bool read_ = false;
  std::optional<Vocabulary> old_, new_;
  std::map<uint64_t, std::string> lost_;
};

// One line of all of them.
void WarnOfLost(const std::map<uint64_t, std::string>& lost, PreparedMerge& prepared) {
  if (lost.empty()) return;
  constexpr size_t kShown = 3;
  std::string text;
  size_t shown = 0;
  for (const auto& [number, token] : lost) {
    if (++shown > kShown) break;
    absl::StrAppend(&text, shown > 1 ? ", " : "", number, " ", Quoted(token));
  }
  if (lost.size() > kShown) text += ", ...";
  prepared.plan.warnings.push_back(
      absl::StrCat(prepared.reference->store->Describe(kConfigFile), " and ", kGenerationFile,
                   " name tokens that the tokenizer of model ", Shown(prepared.tokenizer->given),
                   " lacks: ", text,
                   "; the output keeps these numbers, which are other tokens now or none: put "
                   "them right by hand"));
}

}  // namespace

bool NamesTokens(std::string_view key) {
  return key.ends_with("_token_id") || key.ends_with("_token_ids") || key.ends_with("_token_index");
}

absl::StatusOr<ConfigNumbers> NumbersInConfig(std::string_view config, std::string_view what,
                                              std::string_view donor, std::string_view donor_what,
                                              const NewNumber& renumber) {
  MERGANSER_ASSIGN_OR_RETURN(const Json own, ParseObject(config, what));
  Json other = Json::object();
  if (!donor.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(other, ParseObject(donor, donor_what));
  }
  const Json* own_text = TextConfig(own);
  const Json* other_text = TextConfig(other);
  ConfigNumbers numbers;
  MERGANSER_RETURN_IF_ERROR(TakeNumbers(own, &other, other_text, renumber, numbers.top));
  if (own_text != nullptr) {
    MERGANSER_RETURN_IF_ERROR(
        TakeNumbers(*own_text, other_text, &other, renumber, numbers.text_config));
  }
  for (const std::string_view key : kOfEveryModel) {
    if (Member(own, key) != nullptr) continue;
    if (own_text != nullptr && Member(*own_text, key) != nullptr) continue;
    const Json* value = Member(other, key);
    const bool top = value != nullptr || own_text == nullptr;
    if (value == nullptr && other_text != nullptr) value = Member(*other_text, key);
    if (value == nullptr || value->is_null()) continue;
    (top ? numbers.top : numbers.text_config)[std::string(key)] = {JsonText(*value), true};
  }
  return numbers;
}

absl::StatusOr<JsonValues> NumbersInGeneration(std::string_view config, std::string_view what,
                                               std::string_view donor, std::string_view donor_what,
                                               bool add, const NewNumber& renumber) {
  MERGANSER_ASSIGN_OR_RETURN(const Json own, ParseObject(config, what));
  MERGANSER_ASSIGN_OR_RETURN(const Json other, ParseObject(donor, donor_what));
  JsonValues values;
  MERGANSER_RETURN_IF_ERROR(TakeNumbers(own, &other, TextConfig(other), renumber, values));
  if (!add) return values;
  for (const auto& [key, value] : other.items()) {
    if (!NamesTokens(key) || Member(own, key) != nullptr || value.is_null()) continue;
    values[key] = {JsonText(value), true};
  }
  return values;
}

absl::Status SettleTokenNumbers(PreparedMerge& prepared) {
  if (prepared.tokenizer == prepared.reference) return absl::OkStatus();
  const Checkpoint& reference = *prepared.reference;
  const Checkpoint& donor = *prepared.tokenizer;
  Renumbering vocabularies(reference, donor);
  const NewNumber renumber = [&](uint64_t number) { return vocabularies(number); };

  std::string donor_config = donor.config.text;
  if (donor_config.empty()) {  // a model of which only small files are wanted
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> read,
                               ReadWhole(*donor.store, kConfigFile, kMaxAuxiliaryBytes));
    donor_config = read.value_or("");
  }
  const std::string config_what = reference.store->Describe(kConfigFile);
  const std::string donor_what = donor.store->Describe(kConfigFile);
  if (!reference.config.text.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(
        ConfigNumbers numbers,
        NumbersInConfig(reference.config.text, config_what, donor_config, donor_what, renumber));
    prepared.config.top.merge(numbers.top);
    prepared.config.text_config.merge(numbers.text_config);
  }

  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> own,
                             ReadWhole(*reference.store, kGenerationFile, kMaxAuxiliaryBytes));
  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> other,
                             ReadWhole(*donor.store, kGenerationFile, kMaxAuxiliaryBytes));
  if (!own.has_value()) {
    WarnOfLost(vocabularies.lost(), prepared);
    prepared.generation_config = std::move(other);
    return absl::OkStatus();
  }
  const bool generation = other.has_value();
  // Without one, generation goes by config.json.
  if (!generation) other = donor_config.empty() ? "{}" : donor_config;
  const std::string what = reference.store->Describe(kGenerationFile);
  MERGANSER_ASSIGN_OR_RETURN(
      const JsonValues values,
      NumbersInGeneration(*own, what, *other,
                          generation ? donor.store->Describe(kGenerationFile) : donor_what,
                          generation, renumber));
  WarnOfLost(vocabularies.lost(), prepared);
  if (values.empty()) return absl::OkStatus();
  MERGANSER_ASSIGN_OR_RETURN(prepared.generation_config, WithKeys(*own, values, {}, what));
  return absl::OkStatus();
}

}  // namespace merganser
