#include "common/tokenizer/tokenizer_tokens.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/format/text.h"
#include "common/tokenizer/tokenizer_json.h"

namespace merganser {
namespace {

constexpr char kTokenizerFile[] = "tokenizer.json";

// Takes an added token up among the tokens, unless it is among the added ones.
TokenEntry& Join(const TokenEntry& token, TokenizerTokens& table) {
  const auto [at, fresh] = table.index.emplace(token.text, table.tokens.size());
  if (fresh) table.tokens.push_back(token);
  TokenEntry& joined = table.tokens[at->second];
  if (!joined.added) {
    joined.added = true;
    joined.flags = token.flags;
    joined.said = token.said;
    table.added.push_back(at->second);
  }
  return joined;
}

void NumberTokens(TokenizerTokens& table) {
  std::vector<std::optional<uint64_t>> in_vocabulary;
  for (const size_t at : table.added) {
    const TokenEntry& token = table.tokens[at];
    in_vocabulary.push_back(token.in_vocabulary ? std::optional(token.number) : std::nullopt);
  }
  std::vector<uint64_t> numbers =
      NumberAdded(in_vocabulary, table.vocabulary_size, NumberingRule::kCounted);
  const std::vector<uint64_t> older =
      NumberAdded(in_vocabulary, table.vocabulary_size, NumberingRule::kBehindLargest);
  // Where the versions differ, what the file says tells which one wrote it.
  bool as_said = numbers != older;
  for (size_t i = 0; i < older.size() && as_said; ++i) {
    const TokenEntry& token = table.tokens[table.added[i]];
    as_said = token.in_vocabulary || !token.said.has_value() || *token.said == older[i];
  }
  if (as_said) numbers = older;
  for (size_t i = 0; i < numbers.size(); ++i) table.tokens[table.added[i]].number = numbers[i];
}

}  // namespace

std::string TokenizerPlace(const TokenizerFiles& files, std::string_view name) {
  return Shown(absl::StrCat(files.where, files.where.ends_with('/') ? "" : "/", std::string(name)));
}

const TokenEntry* TokenizerTokens::Find(const std::string& text) const {
  const auto at = index.find(text);
  return at == index.end() ? nullptr : &tokens[at->second];
}

std::vector<uint64_t> NumberAdded(const std::vector<std::optional<uint64_t>>& in_vocabulary,
                                  uint64_t vocabulary_size, NumberingRule rule) {
  std::vector<uint64_t> numbers;
  numbers.reserve(in_vocabulary.size());
  uint64_t next = vocabulary_size;
  for (const std::optional<uint64_t>& known : in_vocabulary) {
    numbers.push_back(known.has_value() ? *known : next);
    if (rule == NumberingRule::kBehindLargest) {
      next = std::max(next, numbers.back() + 1);
    } else if (!known.has_value()) {
      ++next;
    }
  }
  return numbers;
}

absl::StatusOr<TokenizerTokens> ReadTokenTable(const TokenizerFiles& files, bool with_merges) {
  TokenizerTokens table;
  const std::string& text = files.texts.find(kTokenizerFile)->second;
  absl::StatusOr<std::vector<TokenEntry>> added = ReadTokenizerJson(text, with_merges, table);
  if (!added.ok()) return Annotate(added.status(), TokenizerPlace(files, kTokenizerFile));
  if (!IsKnownKind(table.kind)) {
    return absl::InvalidArgumentError(absl::StrCat(
        TokenizerPlace(files, kTokenizerFile), ": key 'model.type': found ", Quoted(table.kind),
        ", expected BPE, Unigram, WordPiece or WordLevel: vocabularies of other kinds are not "
        "united; name one model as tokenizer_source"));
  }
  for (const TokenEntry& token : *added) {
    if (!token.text.empty()) Join(token, table).listed = true;  // the library passes those over
  }
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<SettledToken> settled, ReadSettledTokens(files));
  for (const SettledToken& more : settled) {
    if (more.text.empty()) continue;
    TokenEntry token;
    token.text = more.text;
    token.flags = more.flags;
    token.said = more.said;
    TokenEntry& joined = Join(token, table);
    joined.settled |= more.decoder;
    if (more.decoder) joined.flags = more.flags;
  }
  NumberTokens(table);
  return table;
}

}  // namespace merganser
