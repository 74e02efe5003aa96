#include "common/checkpoint/vocabulary.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/format/json_events.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;
constexpr size_t kMaxDepth = 64;

// Follows the names of open objects and the indices of open arrays.
class VocabularyHandler final : public JsonHandler {
 public:
  explicit VocabularyHandler(Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  absl::Status On(const JsonEvent& event) override {
    switch (event.kind) {
      case Kind::kKey:
        levels_.back().key = std::string(event.text);
        return absl::OkStatus();
      case Kind::kObjectEnd:
      case Kind::kArrayEnd:
        levels_.pop_back();
        if (InAddedTokens() && levels_.size() == 2) AddToken();
        Next();
        return absl::OkStatus();
      case Kind::kObjectBegin:
      case Kind::kArrayBegin:
        if (levels_.empty() && event.kind != Kind::kObjectBegin) {
          return absl::DataLossError(
              absl::StrCat("is ", DescribeJson(event), ", expected an object"));
        }
        levels_.push_back({event.kind == Kind::kArrayBegin, "", 0});
        return absl::OkStatus();
      default:
        if (levels_.empty()) {
          return absl::DataLossError(
              absl::StrCat("is ", DescribeJson(event), ", expected an object"));
        }
        OnScalar(event);
        Next();
        return absl::OkStatus();
    }
  }

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
  bool InModelVocab() const {
    return levels_.size() >= 3 && levels_[0].key == "model" && levels_[1].key == "vocab";
  }
  bool InAddedTokens() const { return levels_.size() >= 2 && levels_[0].key == "added_tokens"; }

  void OnScalar(const JsonEvent& event) {
    if (InModelVocab()) {
      const Level& vocab = levels_[2];
      if (levels_.size() == 3 && !vocab.array && event.kind == Kind::kUnsigned) {
        vocabulary_.tokens[vocab.key] = event.number;
      } else if (levels_.size() == 4 && vocab.array && levels_[3].index == 0 &&
                 event.kind == Kind::kString) {
        vocabulary_.tokens[std::string(event.text)] = vocab.index;
      }
      return;
    }
    if (!InAddedTokens() || levels_.size() != 3) return;
    if (levels_[2].key == "id" && event.kind == Kind::kUnsigned) id_ = event.number;
    if (levels_[2].key == "content" && event.kind == Kind::kString) {
      content_ = std::string(event.text);
    }
  }

  void AddToken() {
    if (id_.has_value() && content_.has_value()) {
      vocabulary_.tokens[*content_] = *id_;
      vocabulary_.added.insert(*content_);
    }
    id_.reset();
    content_.reset();
  }

  Vocabulary& vocabulary_;
  std::vector<Level> levels_;
  std::optional<uint64_t> id_;
  std::optional<std::string> content_;
};

}  // namespace

absl::StatusOr<Vocabulary> ParseVocabulary(std::string_view text) {
  Vocabulary vocabulary;
  VocabularyHandler handler(vocabulary);
  MERGANSER_RETURN_IF_ERROR(ReadJson(text, kMaxDepth, handler));
  vocabulary.digest = DigestHex(text);
  return vocabulary;
}

absl::StatusOr<std::optional<Vocabulary>> ReadVocabulary(const Checkpoint& model) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(*model.store, kTokenizerFile, kMaxTokenizerBytes));
  if (!text.has_value()) return std::optional<Vocabulary>();
  const std::string file = model.store->Describe(kTokenizerFile);
  absl::StatusOr<Vocabulary> vocabulary = ParseVocabulary(*text);
  if (!vocabulary.ok()) return Annotate(vocabulary.status(), file);
  vocabulary->file = file;
  return std::optional<Vocabulary>(*std::move(vocabulary));
}

bool SameVocabulary(const Vocabulary& a, const Vocabulary& b) {
  return a.digest == b.digest || a.tokens == b.tokens;
}

}  // namespace merganser
