#include "common/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/format/json_events.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr uint64_t kMaxNumber = UINT32_MAX;  // the library's type

// Follows the names of open objects and the indices of open arrays.
class TableReader final : public JsonHandler {
 public:
  TableReader(TokenizerTokens& table, bool with_merges)
      : table_(table), with_merges_(with_merges) {}

  absl::Status On(const JsonEvent& event) override {
    switch (event.kind) {
      case Kind::kKey:
        return Key(event);
      case Kind::kObjectEnd:
      case Kind::kArrayEnd: {
        levels_.pop_back();
        absl::Status status = End();
        Next();
        return status;
      }
      case Kind::kObjectBegin:
      case Kind::kArrayBegin:
        MERGANSER_RETURN_IF_ERROR(Begin(event));
        levels_.push_back({event.kind == Kind::kArrayBegin, "", 0});
        return absl::OkStatus();
      default:
        MERGANSER_RETURN_IF_ERROR(Scalar(event));
        Next();
        return absl::OkStatus();
    }
  }

  // What only shows at the end.
  absl::Status Finish() {
    if (!has_vocabulary_) {
      return absl::DataLossError("key 'model.vocab': missing, expected the tokenizer's vocabulary");
    }
    if (!table_.kind.empty()) {
      if (!IsKnownKind(table_.kind) || (table_.kind == "Unigram") == list_) return absl::OkStatus();
      return absl::DataLossError(absl::StrCat(
          "key 'model.vocab': found ", list_ ? "an array" : "an object", ", expected ",
          list_ ? "an object" : "an array", " as in a tokenizer of kind ", Quoted(table_.kind)));
    }
    // Files of the first versions do not say it.
    if (list_) {
      table_.kind = "Unigram";
    } else if (table_.has_merges) {
      table_.kind = "BPE";
    } else {
      table_.kind = seen_.contains("model.max_input_chars_per_word") ? "WordPiece" : "WordLevel";
    }
    return absl::OkStatus();
  }
  std::vector<TokenEntry>& added() { return added_; }

 private:
  using Kind = JsonEvent::Kind;
  struct Level {
    bool array = false;
    std::string key;
    uint64_t index = 0;
  };

  void Next() {
    if (!levels_.empty() && levels_.back().array) ++levels_.back().index;
  }
  // Within the value of key `second` of the model.
  bool InModel(std::string_view second) const {
    return levels_.size() >= 2 && levels_[0].key == "model" && levels_[1].key == second;
  }
  bool InAdded() const { return !levels_.empty() && levels_[0].key == "added_tokens"; }

  absl::Status Wrong(const JsonEvent& event, std::string_view expected) const {
    std::string place;
    for (const Level& level : levels_) {
      if (level.array) {
        absl::StrAppend(&place, "[", level.index, "]");
      } else {
        absl::StrAppend(&place, place.empty() ? "" : ".", level.key);
      }
    }
    return absl::DataLossError(
        absl::StrCat(place.empty() ? std::string() : absl::StrCat("key ", Quoted(place), ": "),
                     "found ", DescribeJson(event), ", expected ", std::string(expected)));
  }

  absl::Status Key(const JsonEvent& event) {
    levels_.back().key = std::string(event.text);
    const bool of_model = levels_.size() == 2 && levels_[0].key == "model";
    if (levels_.size() != 1 && !of_model) return absl::OkStatus();
    const std::string name =
        of_model ? absl::StrCat("model.", levels_.back().key) : levels_.back().key;
    // Which one holds is not the same for every reader.
    if (seen_.insert(name).second) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("key ", Quoted(name), ": found twice, expected once"));
  }

  absl::Status Begin(const JsonEvent& event) {
    const bool object = event.kind == Kind::kObjectBegin;
    const size_t depth = levels_.size();
    if (depth == 0) return object ? absl::OkStatus() : Wrong(event, "an object");
    if (depth == 1 && levels_[0].key == "model" && !object) return Wrong(event, "an object");
    if (InAdded()) {
      if (depth == 1) {
        table_.has_added_tokens = true;
        return object ? Wrong(event, "an array") : absl::OkStatus();
      }
      if (depth > 2) return absl::OkStatus();  // of a key that says nothing to anybody
      entry_ = TokenEntry();
      has_text_ = false;
      return object ? absl::OkStatus() : Wrong(event, "an added token");
    }
    if (InModel("vocab")) {
      if (depth == 2) {
        list_ = !object;
        has_vocabulary_ = true;
        return absl::OkStatus();
      }
      score_.clear();
      has_text_ = false;
      if (depth == 3 && list_ && !object) return absl::OkStatus();
      return Wrong(event, list_ ? "a token and its score" : "a token's number");
    }
    if (InModel("merges")) {
      if (object || depth > 3) return Wrong(event, "merges of two tokens each");
      if (depth == 2) {
        table_.has_merges = true;
        table_.merges_are_pairs = true;  // until one is a text
      }
      parts_.clear();
    }
    return absl::OkStatus();
  }

  absl::Status Scalar(const JsonEvent& event) {
    const size_t depth = levels_.size();
    if (depth == 0) return Wrong(event, "an object");
    if (depth == 1 && (levels_[0].key == "model" || InAdded())) {
      return Wrong(event, InAdded() ? "an array" : "an object");
    }
    if (InAdded()) {
      if (depth == 2) return Wrong(event, "an added token");
      return depth == 3 ? OfAdded(event) : absl::OkStatus();
    }
    if (InModel("type") && depth == 2) {
      if (event.kind != Kind::kString) return Wrong(event, "the kind of the vocabulary");
      table_.kind = std::string(event.text);
    }
    if (InModel("vocab")) {
      if (depth == 2) return Wrong(event, "the tokens");
      return list_ ? OfList(event) : OfVocabulary(event);
    }
    if (InModel("merges")) {
      if (depth == 2) return Wrong(event, "an array");
      if (event.kind != Kind::kString) return Wrong(event, "two tokens");
      if (depth == 4) {
        parts_.emplace_back(event.text);
        return absl::OkStatus();
      }
      const size_t space = event.text.find(' ');
      // Files of the first versions begin with a line of merges.txt.
      if (event.text.starts_with("#version")) return absl::OkStatus();
      table_.merges_are_pairs = false;
      if (space == event.text.npos || event.text.find(' ', space + 1) != event.text.npos) {
        return Wrong(event, "two tokens with a space between them");
      }
      if (with_merges_) {
        table_.merges.emplace_back(event.text.substr(0, space), event.text.substr(space + 1));
      }
    }
    return absl::OkStatus();
  }

  absl::Status OfVocabulary(const JsonEvent& event) {
    if (event.kind != Kind::kUnsigned || event.number > kMaxNumber) {
      return Wrong(event, "a token's number");
    }
    Put(levels_[2].key, event.number);
    return absl::OkStatus();
  }
  absl::Status OfList(const JsonEvent& event) {
    if (levels_.size() != 4) return Wrong(event, "a token and its score");
    if (levels_[3].index == 0 && event.kind == Kind::kString) {
      text_ = std::string(event.text);
      has_text_ = true;
      return absl::OkStatus();
    }
    const bool number =
        event.kind == Kind::kUnsigned || event.kind == Kind::kNegative || event.kind == Kind::kReal;
    if (levels_[3].index != 1 || !number) return Wrong(event, "a token and its score");
    score_ = event.kind == Kind::kReal ? std::string(event.text) : absl::StrCat(event.real);
    return absl::OkStatus();
  }
  absl::Status OfAdded(const JsonEvent& event) {
    const std::string& key = levels_[2].key;
    if (key == "id") {
      if (event.kind != Kind::kUnsigned || event.number > kMaxNumber) {
        return Wrong(event, "the token's number");
      }
      entry_.said = event.number;
    } else if (key == "content") {
      if (event.kind != Kind::kString) return Wrong(event, "the token's text");
      entry_.text = std::string(event.text);
      has_text_ = true;
    } else if (bool* flag = Flag(key); flag != nullptr) {
      if (event.kind != Kind::kBool) return Wrong(event, "true or false");
      *flag = event.boolean;
    }
    return absl::OkStatus();
  }
  bool* Flag(std::string_view key) {
    if (key == "special") return &entry_.flags.special;
    if (key == "lstrip") return &entry_.flags.lstrip;
    if (key == "rstrip") return &entry_.flags.rstrip;
    if (key == "single_word") return &entry_.flags.single_word;
    if (key == "normalized") return &entry_.flags.normalized;
    return nullptr;
  }

  // A container has ended; levels_ are those around it.
  absl::Status End() {
    const size_t depth = levels_.size();
    if (InAdded() && depth == 2) return Added();
    if (InModel("vocab") && depth == 3 && list_) {
      if (!has_text_ || score_.empty()) {
        return absl::DataLossError(absl::StrCat("key 'model.vocab[", levels_[2].index,
                                                "]': expected a token and its score"));
      }
      Put(text_, levels_[2].index).score = score_;
      ++table_.vocabulary_size;
    }
    if (InModel("merges") && depth == 3) {
      if (parts_.size() != 2) {
        return absl::DataLossError(absl::StrCat("key 'model.merges[", levels_[2].index,
                                                "]': found ", parts_.size(),
                                                " texts, expected two tokens"));
      }
      if (with_merges_) table_.merges.emplace_back(std::move(parts_[0]), std::move(parts_[1]));
    }
    return absl::OkStatus();
  }
  absl::Status Added() {
    if (!has_text_ || !entry_.said.has_value()) {
      return absl::DataLossError(
          absl::StrCat("key 'added_tokens[", levels_[1].index, "].", has_text_ ? "id" : "content",
                       "': missing, expected the token's ", has_text_ ? "number" : "text"));
    }
    added_.push_back(std::move(entry_));
    return absl::OkStatus();
  }

  // Of a token that repeats the last number holds.
  TokenEntry& Put(const std::string& text, uint64_t number) {
    const auto [at, fresh] = table_.index.emplace(text, table_.tokens.size());
    if (fresh) {
      table_.tokens.emplace_back().text = text;
      if (!list_) ++table_.vocabulary_size;
    }
    TokenEntry& token = table_.tokens[at->second];
    token.number = number;
    token.in_vocabulary = true;
    return token;
  }

  TokenizerTokens& table_;
  const bool with_merges_;
  std::vector<Level> levels_;
  std::set<std::string> seen_;
  bool list_ = false;
  bool has_vocabulary_ = false;
  std::vector<std::string> parts_;  // of a merge
  std::string text_, score_;        // of an element of a list
  TokenEntry entry_;                // of an added token
  bool has_text_ = false;
  std::vector<TokenEntry> added_;  // as the file lists them
};

}  // namespace

bool IsKnownKind(std::string_view kind) {
  constexpr std::string_view kKinds[] = {"BPE", "Unigram", "WordPiece", "WordLevel"};
  return std::find(std::begin(kKinds), std::end(kKinds), kind) != std::end(kKinds);
}

absl::StatusOr<std::vector<TokenEntry>> ReadTokenizerJson(std::string_view text, bool with_merges,
                                                          TokenizerTokens& table) {
  table.merges_are_pairs = true;
  TableReader reader(table, with_merges);
  MERGANSER_RETURN_IF_ERROR(ReadJson(text, kMaxDepth, reader));
  MERGANSER_RETURN_IF_ERROR(reader.Finish());
  return std::move(reader.added());
}

}  // namespace merganser
