#include "common/tokenizer/tokenizer_comparison.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/vocabulary_differences.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr std::string_view kStop = "eos_token_id";

// "1 token", "12 tokens".
std::string Count(size_t count, std::string_view what) {
  return absl::StrCat(count, " ", std::string(what), count == 1 ? "" : "s");
}

// "15", "[0, 15]", "none".
std::string NumbersText(const std::vector<uint64_t>& numbers) {
  constexpr size_t kMost = 8;
  if (numbers.empty()) return "none";
  if (numbers.size() == 1) return absl::StrCat(numbers[0]);
  const std::vector<uint64_t> shown(
      numbers.begin(),
      numbers.begin() + static_cast<std::ptrdiff_t>(std::min(kMost, numbers.size())));
  return absl::StrCat("[", absl::StrJoin(shown, ", "),
                      shown.size() < numbers.size() ? ", ...]" : "]");
}

template <typename Describe>
std::string Examples(const VocabularyDifferences::Kind& kind, const Describe& describe) {
  std::string text;
  for (const TokenDifference& one : kind.first) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", describe(one));
  }
  return kind.count > kind.first.size() ? text + ", ..." : text;
}

// Of a role; empty: none.
std::string Special(const TokenizerFacts& facts, std::string_view role) {
  const auto it = facts.special.find(role);
  return it == facts.special.end() ? std::string() : it->second;
}

// Whether the model pads with another of its special tokens, as trainers do where there is no
// token for it: nothing is lost with it.
bool PadsWithAnother(const TokenizerFacts& facts) {
  const std::string pad = Special(facts, "pad_token");
  for (const std::string_view role : {"eos_token", "unk_token", "bos_token"}) {
    if (!pad.empty() && pad == Special(facts, role)) return true;
  }
  const auto number = facts.numbers.find("pad_token_id");
  const auto stop = facts.numbers.find(kStop);
  if (!pad.empty() || number == facts.numbers.end() || stop == facts.numbers.end()) return false;
  const std::vector<uint64_t>& stops = stop->second.numbers;
  return std::find(stops.begin(), stops.end(), number->second.numbers[0]) != stops.end();
}

class Comparison {
 public:
  Comparison(TokenizerSide& model, const OutputTokens& output)
      : model_(model), output_(output), theirs_(*output.tokenizer) {}

  absl::StatusOr<TokenizerDifferences> Run() {
    if (model_.facts.tokenizer && !theirs_.facts.tokenizer) {
      Say("a tokenizer (the output: none)");
    } else if (model_.facts.tokenizer) {
      MERGANSER_RETURN_IF_ERROR(CompareVocabulary());
      CompareTemplate();
      CompareSpecial();
    }
    CompareNumbers();
    return std::move(found_);
  }

 private:
  void Say(std::string item) { found_.items.push_back(std::move(item)); }

  absl::Status CompareVocabulary() {
    MERGANSER_ASSIGN_OR_RETURN(const auto shared, model_.vocabulary.Shared(theirs_.vocabulary));
    VocabularyDifferences differences;
    const bool same = shared.has_value() && shared->same;
    bool same_model = false;
    if (!same) {
      MERGANSER_ASSIGN_OR_RETURN(same_model, model_.vocabulary.SameModel(theirs_.vocabulary));
    }
    if (same) {
      MERGANSER_ASSIGN_OR_RETURN(differences, AddedTokens());
    } else if (same_model) {
      MERGANSER_ASSIGN_OR_RETURN(differences, AddedInFiles());
    } else {
      MERGANSER_ASSIGN_OR_RETURN(expected_, theirs_.vocabulary.Get());
      if (expected_ != nullptr) {
        MERGANSER_ASSIGN_OR_RETURN(own_, model_.vocabulary.Get());
      }
      if (own_ == nullptr || expected_ == nullptr) {
        // Files whose form is not read are known by their bytes.
        if (output_.vocabularies && shared.has_value()) {
          Say(absl::StrCat("another ", std::string(shared->name)));
        }
        return absl::OkStatus();
      }
      differences = CompareVocabularies(*own_, *expected_);
    }
    if (output_.vocabularies) SayTokens(differences);
    return absl::OkStatus();
  }

  // Of files with the same bytes: what loading adds to them.
  absl::StatusOr<VocabularyDifferences> AddedTokens() {
    Vocabulary more;
    for (const auto& [token, number] : model_.facts.added) {
      if (!theirs_.facts.added.contains(token)) more.tokens.emplace(token, number);
    }
    if (more.tokens.empty()) return VocabularyDifferences();
    MERGANSER_ASSIGN_OR_RETURN(const Vocabulary* expected, theirs_.vocabulary.Get());
    const Vocabulary none;
    if (expected == nullptr) expected = &none;
    // The vocabulary's own number goes before that of the settings.
    std::erase_if(more.tokens,
                  [&](const auto& one) { return expected->tokens.contains(one.first); });
    VocabularyDifferences differences = CompareVocabularies(more, *expected);
    differences.missing = 0;
    return differences;
  }

  // Of files that differ in the tokens that they add alone, if at all.
  absl::StatusOr<VocabularyDifferences> AddedInFiles() {
    const Vocabulary& own = model_.vocabulary.added();
    const Vocabulary& expected = theirs_.vocabulary.added();
    if (own.tokens == expected.tokens) return VocabularyDifferences();
    own_ = &own;
    MERGANSER_ASSIGN_OR_RETURN(expected_, theirs_.vocabulary.Get());
    if (expected_ == nullptr) expected_ = &expected;
    VocabularyDifferences differences = CompareVocabularies(own, *expected_);
    differences.missing = CompareVocabularies(own, expected).missing;
    return differences;
  }

  void SayTokens(const VocabularyDifferences& differences) {
    const auto numbered = [](const TokenDifference& one) {
      return absl::StrCat(Quoted(one.token), " ", one.number);
    };
    const auto respelt = [](const TokenDifference& one) {
      return absl::StrCat(one.number, " is ", Quoted(one.token), ", in the output ",
                          Quoted(one.other_token));
    };
    const auto moved = [](const TokenDifference& one) {
      return absl::StrCat(Quoted(one.token), " is ", one.number, ", in the output ",
                          one.other_number);
    };
    if (differences.more.count > 0) {
      Say(absl::StrCat(Count(differences.more.count, "token"), " more (",
                       Examples(differences.more, numbered), ")"));
    }
    if (differences.respelt.count > 0) {
      Say(absl::StrCat(Count(differences.respelt.count, "token"), " under numbers of others (",
                       Examples(differences.respelt, respelt), ")"));
    }
    if (differences.moved.count > 0) {
      Say(absl::StrCat(Count(differences.moved.count, "token"), " under other numbers (",
                       Examples(differences.moved, moved), ")"));
    }
    found_.both_have_more =
        differences.more.count + differences.respelt.count > 0 && differences.missing > 0;
  }

  void CompareTemplate() {
    const std::string& own = model_.facts.chat_template;
    const std::string& expected = theirs_.facts.chat_template;
    if (!output_.chat_templates || own.empty() || own == expected) return;
    Say(expected.empty() ? "a chat template (the output: none)"
                         : "a chat template (the output: another)");
  }

  void CompareSpecial() {
    for (const auto& [role, token] : model_.facts.special) {
      const std::string expected = Special(theirs_.facts, role);
      if (token == expected) continue;
      // Classes of tokenizers have some that no file tells of.
      if (expected.empty() && role != "eos_token" && role != "pad_token") continue;
      if (role == "pad_token" && PadsWithAnother(model_.facts)) continue;
      Say(absl::StrCat(role, " ", Quoted(token),
                       " (the output: ", expected.empty() ? "none" : Quoted(expected), ")"));
      told_.push_back(absl::StrCat(role, "_id"));
    }
  }

  // The number of the model's token in the output; nullopt where it has none there.
  std::optional<uint64_t> InOutput(uint64_t number) const {
    if (own_ == nullptr || expected_ == nullptr) return number;
    for (const auto& [token, of] : own_->tokens) {
      if (of != number) continue;
      const auto it = expected_->tokens.find(token);
      return it == expected_->tokens.end() ? std::optional<uint64_t>() : it->second;
    }
    return number;
  }

  void CompareNumbers() {
    const std::vector<uint64_t> none;
    for (const auto& [key, said] : model_.facts.numbers) {
      const bool stop = key == kStop;
      const bool told = std::find(told_.begin(), told_.end(), key) != told_.end();
      if (!stop && told) continue;  // generation stops at more than the one
      if (key == "pad_token_id" && PadsWithAnother(model_.facts)) continue;
      const auto it = output_.numbers.find(key);
      const std::vector<uint64_t>& expected =
          it == output_.numbers.end() ? none : it->second.numbers;
      // Classes of configs have some that no file tells of.
      const bool comparable = said.generation && (stop || output_.generation);
      if (expected.empty() && !comparable) continue;
      const bool lacks = std::any_of(said.numbers.begin(), said.numbers.end(), [&](uint64_t one) {
        const std::optional<uint64_t> number = InOutput(one);
        return !number.has_value() ||
               std::find(expected.begin(), expected.end(), *number) == expected.end();
      });
      if (!lacks) continue;
      Say(absl::StrCat(key, " ", NumbersText(said.numbers), " in ",
                       said.generation ? "generation_config.json" : "config.json", " (the output: ",
                       NumbersText(expected), said.numbers == expected ? ", another token)" : ")"));
    }
  }

  TokenizerSide& model_;
  const OutputTokens& output_;
  TokenizerSide& theirs_;
  // Of the two, where their files are not the same.
  const Vocabulary* own_ = nullptr;
  const Vocabulary* expected_ = nullptr;
  TokenizerDifferences found_;
  std::vector<std::string> told_;  // keys whose tokens are told by their spelling
};

}  // namespace

absl::Status TokenizerSide::Read() {
  MERGANSER_ASSIGN_OR_RETURN(facts, ReadTokenizerFacts(model, folder));
  return absl::OkStatus();
}

absl::StatusOr<TokenizerDifferences> CompareTokenizer(TokenizerSide& model,
                                                      const OutputTokens& output) {
  return Comparison(model, output).Run();
}

}  // namespace merganser
