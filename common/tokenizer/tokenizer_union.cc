#include "common/tokenizer/tokenizer_union.h"

#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/format/text.h"
#include "common/tokenizer/tokenizer_differences.h"
#include "common/tokenizer/tokenizer_rules.h"
#include "common/tokenizer/tokenizer_tokens.h"
#include "common/tokenizer/tokenizer_write.h"

namespace merganser {
namespace {

constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr uint64_t kMaxNumber = UINT32_MAX;  // the `tokenizers` library's type

absl::Status CheckHasFast(const TokenizerFiles& files) {
  if (files.texts.contains(kTokenizerFile)) return absl::OkStatus();
  std::vector<std::string> slow;
  for (const auto& [name, unused] : files.texts) {
    if (IsSlowTokenizerFile(name)) slow.push_back(Shown(name));
  }
  const std::string model = absl::StrCat("model ", Quoted(files.model), ": ", Shown(files.where));
  if (slow.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model,
                     " has no tokenizer.json, whose tokens could be united: put the "
                     "tokenizer's files beside it, or name one model as tokenizer_source"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      model, " has only a slow tokenizer (", absl::StrJoin(slow, ", "),
      "): save it with a fast one, AutoTokenizer.from_pretrained(...).save_pretrained(...), or "
      "name one model as tokenizer_source"));
}

class Union {
 public:
  Union(const TokenizerFiles& first, TokenizerTokens table)
      : first_(first),
        table_(std::move(table)),
        rules_(ReadTokenizerRules(TextOf(first), table_.kind)) {
    for (const TokenEntry& token : table_.tokens) next_ = std::max(next_, token.number + 1);
    NoteStaleNumbers(first_, table_);
    TokenDifferences own;
    for (const TokenEntry& token : table_.tokens) {
      if (!HasRow(first_, token)) own.rowless.Add(token.text);
    }
    SayDifferences(first_, first_.model, own, lines_, warnings_);
  }

  absl::Status Take(const TokenizerFiles& files) {
    MERGANSER_ASSIGN_OR_RETURN(TokenizerTokens other, ReadTokenTable(files, table_.kind == "BPE"));
    if (other.kind != table_.kind) {
      return absl::InvalidArgumentError(
          absl::StrCat("model ", Quoted(files.model), ": its tokenizer is of kind ", other.kind,
                       ", that of model ", Quoted(first_.model), " of kind ", table_.kind,
                       ": they cannot be united; ", Remedy()));
    }
    NoteStaleNumbers(files, other);
    const std::vector<RuleDifference> differences =
        CompareRules(rules_, ReadTokenizerRules(TextOf(files), other.kind));
    const size_t before = more_.tokens.size();
    NamedFew plain;
    TakeTokens(files, other, plain);
    MERGANSER_RETURN_IF_ERROR(CheckRules(files, differences, plain));
    if (next_ > kMaxNumber) {
      return absl::InvalidArgumentError(
          absl::StrCat("model ", Quoted(first_.model), ": found a token numbered ", next_ - 1,
                       " in the union, expected at most ", kMaxNumber, "; ", Remedy()));
    }
    if (!plain.empty() && table_.kind == "BPE") {
      MERGANSER_RETURN_IF_ERROR(TakeMerges(files, other, before));
    }
    more_.plain |= !plain.empty();
    NoteTaken(files, before, plain);
    return absl::OkStatus();
  }

  absl::StatusOr<UnitedTokenizer> Finish() && {
    UnitedTokenizer united;
    united.warnings = warnings_.Lines();
    united.notes = lines_.Lines();
    if (more_.tokens.empty()) return united;
    MERGANSER_RETURN_IF_ERROR(WriteTokenizer(first_, table_, more_, united));
    NamedFew rowless;
    for (size_t i = 0; i < more_.tokens.size(); ++i) {
      if (!has_row_[i]) rowless.Add(more_.tokens[i].text);
      united.added.push_back(std::move(more_.tokens[i].text));
    }
    if (!rowless.empty()) {
      united.warnings.push_back(absl::StrCat(
          rowless.Tokens(), rowless.count() == 1 ? " has" : " have",
          " no row in the embedding of any model that has the token: its number is at or above "
          "the embedding's rows, so that nothing was trained for it"));
    }
    return united;
  }

 private:
  static const std::string& TextOf(const TokenizerFiles& files) {
    return files.texts.find(kTokenizerFile)->second;
  }
  static bool HasRow(const TokenizerFiles& files, const TokenEntry& token) {
    return files.rows == 0 || token.number < files.rows;
  }
  std::string Remedy() const {
    return absl::StrCat("use tokenizer_source: ", Shown(first_.model),
                        ", or bring both to one vocabulary first (mergekit-tokensurgeon)");
  }

  void NoteStaleNumbers(const TokenizerFiles& files, const TokenizerTokens& table) {
    NamedFew stale;
    std::string example;
    for (const size_t at : table.added) {
      const TokenEntry& token = table.tokens[at];
      if (!token.said.has_value() || *token.said == token.number) continue;
      if (stale.empty()) example = absl::StrCat(*token.said, " for ", token.number);
      stale.Add(token.text);
    }
    if (stale.empty()) return;
    warnings_.Add(files.model, absl::StrCat("its files number ", stale.Tokens(),
                                            " otherwise than loading them does (", example,
                                            "): the numbers are taken that loading gives"));
  }

  // The union's token of that text; null where it has none yet.
  const TokenEntry* Find(const std::string& text) const {
    const TokenEntry* token = table_.Find(text);
    if (token != nullptr) return token;
    const auto at = index_.find(text);
    return at == index_.end() ? nullptr : &more_.tokens[at->second];
  }

  void TakeTokens(const TokenizerFiles& files, TokenizerTokens& other, NamedFew& plain) {
    std::vector<TokenEntry*> order;
    order.reserve(other.tokens.size());
    for (TokenEntry& token : other.tokens) order.push_back(&token);
    std::stable_sort(order.begin(), order.end(),
                     [](const auto* a, const auto* b) { return a->number < b->number; });
    TokenDifferences found;
    for (TokenEntry* token : order) {
      const bool row = HasRow(files, *token);
      if (!row) found.rowless.Add(token->text);
      if (const TokenEntry* known = Find(token->text); known != nullptr) {
        if (known->number != token->number) {
          if (found.moved.empty()) {
            found.example = absl::StrCat(token->number, " for ", known->number);
          }
          found.moved.Add(token->text);
        }
        if (known->added != token->added) {
          (token->added ? found.added_here : found.plain_here).Add(token->text);
        } else if (known->added && known->flags != token->flags) {
          found.flags.Add(token->text);
        }
        const auto at = index_.find(token->text);
        if (at != index_.end() && row) has_row_[at->second] = true;
        continue;
      }
      if (!token->added) plain.Add(token->text);
      token->number = next_++;
      token->in_vocabulary = token->listed = token->settled = false;
      index_.emplace(token->text, more_.tokens.size());
      has_row_.push_back(row);
      more_.tokens.push_back(*token);
    }
    SayDifferences(files, first_.model, found, lines_, warnings_);
  }

  absl::Status CheckRules(const TokenizerFiles& files,
                          const std::vector<RuleDifference>& differences, const NamedFew& plain) {
    for (const RuleDifference& rule : differences) {
      // The splitting of BPE made its tokens; other kinds are only found otherwise.
      const bool breaks = rule.tokens_differ || (rule.splits && table_.kind == "BPE");
      const bool always = rule.key == kByteLevelRule;
      if (!always && (plain.empty() || !breaks)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "model ", Quoted(files.model), ": its tokenizer.json differs from that of model ",
          Quoted(first_.model), " in ", rule.key, " (", rule.what, "), ",
          plain.empty()
              ? std::string("so that the same tokens mean other text")
              : absl::StrCat("so that text would be split by rules that do not belong to ",
                             plain.Tokens(), " of this model"),
          "; ", Remedy()));
    }
    std::vector<std::string> texts;
    texts.reserve(differences.size());
    for (const RuleDifference& rule : differences) {
      texts.push_back(absl::StrCat(rule.key, " (", rule.what, ")"));
    }
    if (texts.empty()) return absl::OkStatus();
    warnings_.Add(files.model, absl::StrCat("its tokenizer.json differs from that of model ",
                                            Quoted(first_.model), " in ",
                                            absl::StrJoin(texts, ", "), "; that model's is used"));
    return absl::OkStatus();
  }

  // Those of `other` that make one of the tokens from the `before`-th on.
  absl::Status TakeMerges(const TokenizerFiles& files, TokenizerTokens& other, size_t before) {
    const std::string prefix = rules_.Mark("continuing_subword_prefix");
    for (auto& [left, right] : other.merges) {
      const size_t cut = right.starts_with(prefix) ? prefix.size() : 0;
      const auto at = index_.find(left + right.substr(cut));
      if (at == index_.end() || at->second < before || more_.tokens[at->second].added) continue;
      for (const std::string* part : {&left, &right}) {
        if (Find(*part) != nullptr) continue;
        return absl::DataLossError(absl::StrCat(TokenizerPlace(files, kTokenizerFile),
                                                ": key 'model.merges': found ", Quoted(*part),
                                                ", which is no token of 'model.vocab'"));
      }
      const bool spaced = left.find(' ') != left.npos || right.find(' ') != right.npos;
      if (spaced && !table_.merges_are_pairs) {
        return absl::InvalidArgumentError(absl::StrCat(
            "model ", Quoted(files.model), ": ", TokenizerPlace(files, kTokenizerFile), ": token ",
            Quoted(more_.tokens[at->second].text), " has a space in it, and the merges of model ",
            Quoted(first_.model),
            " are texts with a space between two tokens: save that model's tokenizer anew "
            "(AutoTokenizer.from_pretrained(...).save_pretrained(...)), which writes pairs"));
      }
      more_.merges.emplace_back(std::move(left), std::move(right));
    }
    return absl::OkStatus();
  }

  void NoteTaken(const TokenizerFiles& files, size_t before, const NamedFew& plain) {
    const size_t count = more_.tokens.size() - before;
    if (count == 0) return;
    NamedFew taken;
    for (size_t i = before; i < more_.tokens.size(); ++i) taken.Add(more_.tokens[i].text);
    const uint64_t begin = more_.tokens[before].number;
    lines_.Add(files.model,
               absl::StrCat("brings ", taken.Tokens(), ", numbered ", begin,
                            count == 1 ? std::string() : absl::StrCat(" to ", begin + count - 1)));
    if (plain.empty()) return;
    warnings_.Add(files.model,
                  absl::StrCat(plain.Tokens(), " of its plain vocabulary ",
                               plain.count() == 1 ? "comes" : "come",
                               " into the union: text may be split otherwise than by the tokenizer "
                               "of either model, and no model was trained with that"));
  }

  const TokenizerFiles& first_;
  const TokenizerTokens table_;
  const TokenizerRules rules_;
  uint64_t next_ = 0;
  TokenAdditions more_;
  std::vector<bool> has_row_;                      // in any model that has it; as more_.tokens
  std::unordered_map<std::string, size_t> index_;  // of more_.tokens
  ModelLines lines_, warnings_;
};

}  // namespace

absl::StatusOr<UnitedTokenizer> UniteTokenizers(const std::vector<TokenizerFiles>& models) {
  if (models.empty()) return absl::InvalidArgumentError("found no models, expected at least one");
  for (const TokenizerFiles& files : models) MERGANSER_RETURN_IF_ERROR(CheckHasFast(files));
  MERGANSER_ASSIGN_OR_RETURN(TokenizerTokens table,
                             ReadTokenTable(models[0], /*with_merges=*/false));
  Union united(models[0], std::move(table));
  for (size_t i = 1; i < models.size(); ++i) {
    // Most models of a merge have one tokenizer; equal files say nothing new.
    if (models[i].texts == models[0].texts && models[i].rows == models[0].rows) continue;
    MERGANSER_RETURN_IF_ERROR(united.Take(models[i]));
  }
  return std::move(united).Finish();
}

}  // namespace merganser
