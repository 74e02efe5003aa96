#include "common/tokenizer/tokenizer_facts.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/auxiliary/auxiliary_files.h"
#include "common/auxiliary/chat_templates.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/checkpoint/tokenizer_sections.h"
#include "common/format/python_numbers.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

using Json = nlohmann::json;

// Above this the folder is not listed but asked.
constexpr size_t kMaxEntries = 10'000;
// Files with a vocabulary: the first two forms are read, the others known by their bytes alone.
constexpr std::string_view kFiles[] = {
    "tokenizer.json",          "vocab.json",          "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "sentencepiece.model", "spm.model",       "tekken.json",
    "tiktoken.model",          "vocab.txt",           "qwen.tiktoken"};
constexpr size_t kRead = 2;
constexpr std::string_view kSpecial[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                         "sep_token", "cls_token", "mask_token"};
constexpr std::string_view kNumbers[] = {"bos_token_id", "eos_token_id", "pad_token_id"};

bool IsForOthers(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsPermissionDenied(status);
}

Json Parsed(std::string_view text) {
  if (text.empty()) return Json();
  return Json::parse(ReplacePythonNumbers(text, UnusedNumbers(text)), nullptr,
                     /*allow_exceptions=*/false);
}

// Null where there is none. `text`, unless null, gets what it was read from.
absl::StatusOr<Json> ReadObject(const ModelFolder& folder, std::string_view name,
                                std::string* text = nullptr) {
  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> read, folder.Read(name));
  if (!read.has_value()) return Json();
  Json json = Parsed(*read);
  if (text != nullptr) *text = *std::move(read);
  if (json.is_object()) return json;
  return absl::DataLossError(absl::StrCat(folder.Describe(name), ": found no JSON object"));
}

// A token as a text, or as what transformers calls an AddedToken.
std::optional<std::string> TokenText(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_object()) return std::nullopt;
  const auto content = value.find("content");
  if (content == value.end() || !content->is_string()) return std::nullopt;
  return content->get<std::string>();
}

void TakeSpecial(const Json& object, TokenizerFacts& facts) {
  if (!object.is_object()) return;
  for (const std::string_view key : kSpecial) {
    const auto it = object.find(key);
    if (it == object.end()) continue;
    // What was said before goes before.
    if (std::optional<std::string> text = TokenText(*it); text.has_value() && !text->empty()) {
      facts.special.emplace(key, *std::move(text));
    }
  }
}

void TakeAdded(const Json& settings, const Json& added, TokenizerFacts& facts) {
  if (added.is_object()) {
    for (const auto& [token, number] : added.items()) {
      if (number.is_number_unsigned()) facts.added.emplace(token, number.get<uint64_t>());
    }
  }
  if (!settings.is_object()) return;
  const auto decoder = settings.find("added_tokens_decoder");
  if (decoder == settings.end() || !decoder->is_object()) return;
  for (const auto& [number, token] : decoder->items()) {
    uint64_t id = 0;
    const std::optional<std::string> text = TokenText(token);
    if (absl::SimpleAtoi(number, &id) && text.has_value()) facts.added[*text] = id;
  }
}

std::string WithoutSpace(std::string_view text) {
  std::string kept;
  for (const char c : text) {
    if (!absl::ascii_isspace(static_cast<unsigned char>(c))) kept.push_back(c);
  }
  return kept;
}

std::vector<uint64_t> NumbersAt(const Json& object, std::string_view key) {
  std::vector<uint64_t> numbers;
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || it == object.end()) return numbers;
  if (it->is_number_unsigned()) numbers.push_back(it->get<uint64_t>());
  if (it->is_array()) {
    for (const Json& one : *it) {
      if (one.is_number_unsigned()) numbers.push_back(one.get<uint64_t>());
    }
  }
  return numbers;
}

}  // namespace

ModelFolder::ModelFolder(const Checkpoint& model) : model_(model) {
  absl::StatusOr<std::vector<ListedObject>> files = ListModelFiles(*model.store, kMaxEntries);
  if (!files.ok()) return;
  listed_.emplace();
  for (ListedObject& file : *files) listed_->emplace(std::move(file.key), std::move(file.info));
}

absl::StatusOr<std::optional<ObjectInfo>> ModelFolder::Find(std::string_view name) const {
  if (listed_.has_value()) {
    const auto it = listed_->find(name);
    return it == listed_->end() ? std::optional<ObjectInfo>() : it->second;
  }
  absl::StatusOr<std::optional<ObjectInfo>> info = model_.store->Stat(name);
  if (IsForOthers(info.status())) return std::optional<ObjectInfo>();
  return info;
}

absl::StatusOr<std::optional<std::string>> ModelFolder::Read(std::string_view name) const {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, Find(name));
  if (!info.has_value()) return std::optional<std::string>();
  absl::StatusOr<std::optional<std::string>> text =
      ReadWhole(*model_.store, name, kMaxAuxiliaryBytes);
  if (IsForOthers(text.status())) return std::optional<std::string>();
  return text;
}

absl::StatusOr<bool> HasTokenizer(const ModelFolder& folder) {
  for (const std::string_view name : kFiles) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, folder.Find(name));
    if (info.has_value()) return true;
  }
  return false;
}

std::map<std::string, SaidNumbers, std::less<>> NumbersSaid(std::string_view generation,
                                                            std::string_view config) {
  const Json first = Parsed(generation);
  const Json second = Parsed(config);
  const auto nested = second.is_object() ? second.find("text_config") : second.end();
  const Json third = second.is_object() && nested != second.end() ? *nested : Json();
  std::map<std::string, SaidNumbers, std::less<>> said;
  for (const std::string_view key : kNumbers) {
    for (const Json* from : {&first, &second, &third}) {
      std::vector<uint64_t> numbers = NumbersAt(*from, key);
      if (numbers.empty()) continue;
      said.emplace(key, SaidNumbers{std::move(numbers), from == &first});
      break;
    }
  }
  return said;
}

absl::StatusOr<TokenizerFacts> ReadTokenizerFacts(const Checkpoint& model,
                                                  const ModelFolder& folder) {
  TokenizerFacts facts;
  MERGANSER_ASSIGN_OR_RETURN(facts.tokenizer, HasTokenizer(folder));
  std::string settings_text, legacy_text;
  MERGANSER_ASSIGN_OR_RETURN(const Json settings,
                             ReadObject(folder, "tokenizer_config.json", &settings_text));
  MERGANSER_ASSIGN_OR_RETURN(const Json map, ReadObject(folder, "special_tokens_map.json"));
  MERGANSER_ASSIGN_OR_RETURN(const Json added, ReadObject(folder, "added_tokens.json"));
  TakeSpecial(settings, facts);
  TakeSpecial(map, facts);
  TakeAdded(settings, added, facts);

  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> text, folder.Read("chat_template.jinja"));
  if (!text.has_value()) text = ChatTemplateIn(settings_text);
  if (!text.has_value()) {
    // Of processors, by older programs.
    MERGANSER_RETURN_IF_ERROR(ReadObject(folder, "chat_template.json", &legacy_text).status());
    text = ChatTemplateIn(legacy_text);
  }
  facts.chat_template = WithoutSpace(text.value_or(""));

  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> generation,
                             folder.Read("generation_config.json"));
  facts.generation = generation.has_value();
  facts.numbers = NumbersSaid(generation.value_or(""), model.config.text);
  return facts;
}

absl::StatusOr<std::string> LazyVocabulary::Digest(std::string_view name) {
  if (const auto it = digests_.find(name); it != digests_.end()) return it->second;
  MERGANSER_RETURN_IF_ERROR(ReadText(name));
  return digests_.emplace(name, DigestHex(text_)).first->second;
}

absl::Status LazyVocabulary::ReadText(std::string_view name) {
  if (name_ == name) return absl::OkStatus();
  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> text, folder_.Read(name));
  name_ = std::string(name);
  text_ = std::move(text).value_or("");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<LazyVocabulary::SharedFile>> LazyVocabulary::Shared(
    LazyVocabulary& other) {
  for (const std::string_view name : kFiles) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> own, folder_.Find(name));
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> theirs, other.folder_.Find(name));
    if (!own.has_value() || !theirs.has_value()) continue;
    SharedFile file{name, false};
    if (own->size != theirs->size) return std::optional<SharedFile>(file);
    MERGANSER_ASSIGN_OR_RETURN(const std::string digest, Digest(name));
    MERGANSER_ASSIGN_OR_RETURN(const std::string expected, other.Digest(name));
    file.same = digest == expected;
    return std::optional<SharedFile>(file);
  }
  return std::optional<SharedFile>();
}

absl::Status LazyVocabulary::Split() {
  if (split_) return absl::OkStatus();
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, folder_.Find(kFiles[0]));
  if (info.has_value()) {
    MERGANSER_RETURN_IF_ERROR(ReadText(kFiles[0]));
    const std::optional<TokenizerSections> sections = FindTokenizerSections(text_);
    if (sections.has_value()) {
      const auto [begin, end] = sections->vocab;
      absl::StatusOr<Vocabulary> added =
          ParseVocabulary(WithoutSections(text_, *sections, /*keep_vocab=*/false));
      if (!added.ok()) return Annotate(added.status(), folder_.Describe(kFiles[0]));
      added_ = *std::move(added);
      model_digest_ = DigestHex(std::string_view(text_).substr(begin, end - begin));
    }
    for (const auto& [token, number] : facts_.added) {
      if (added_.tokens.emplace(token, number).second) added_.added.insert(token);
    }
  }
  split_ = true;
  return absl::OkStatus();
}

absl::StatusOr<bool> LazyVocabulary::SameModel(LazyVocabulary& other) {
  MERGANSER_RETURN_IF_ERROR(Split());
  if (model_digest_.empty()) return false;
  MERGANSER_RETURN_IF_ERROR(other.Split());
  return model_digest_ == other.model_digest_;
}

absl::StatusOr<const Vocabulary*> LazyVocabulary::Get() {
  if (!parsed_) {
    for (const std::string_view name : std::span(kFiles).first(kRead)) {
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, folder_.Find(name));
      if (!info.has_value()) continue;
      MERGANSER_RETURN_IF_ERROR(ReadText(name));
      if (name == kFiles[0]) {
        // Merges are half of the file, and of no matter here.
        const std::optional<TokenizerSections> sections = FindTokenizerSections(text_);
        if (sections.has_value()) text_ = WithoutSections(text_, *sections, /*keep_vocab=*/true);
      } else {
        // The other file is the same map without the rest around it.
        text_ = absl::StrCat("{\"model\":{\"vocab\":", text_, "}}");
      }
      absl::StatusOr<Vocabulary> vocabulary = ParseVocabulary(text_);
      if (!vocabulary.ok()) return Annotate(vocabulary.status(), folder_.Describe(name));
      vocabulary_ = *std::move(vocabulary);
      break;
    }
    text_ = std::string();
    name_.clear();
    for (const auto& [token, number] : facts_.added) {
      if (vocabulary_.tokens.empty()) break;
      if (vocabulary_.tokens.emplace(token, number).second) vocabulary_.added.insert(token);
    }
    parsed_ = true;
  }
  return vocabulary_.tokens.empty() ? nullptr : &vocabulary_;
}

}  // namespace merganser
