#include "common/tokenizer/tokenizer_write.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <unordered_map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/config/json_append.h"
#include "common/config/json_text.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr char kConfigFile[] = "tokenizer_config.json";
constexpr char kAddedFile[] = "added_tokens.json";
constexpr char kTekken[] = "tekken.json";
constexpr char kDecoder[] = "added_tokens_decoder";

std::string Member(const JsonLayout& layout, std::string_view key, const std::string& value) {
  return absl::StrCat(QuotedJson(key), ":", layout.space, value);
}

// The flags of a token, with `id` as tokenizer.json has it, without as tokenizer_config.json.
std::string TokenObject(const JsonLayout& layout, size_t depth, const TokenEntry& token, bool id) {
  const auto flag = [&](const char* key, bool value) {
    return Member(layout, key, value ? "true" : "false");
  };
  const std::string content = Member(layout, "content", QuotedJson(token.text));
  const TokenFlags& flags = token.flags;
  const std::string lstrip = flag("lstrip", flags.lstrip);
  const std::string rstrip = flag("rstrip", flags.rstrip);
  const std::string word = flag("single_word", flags.single_word);
  const std::string normalized = flag("normalized", flags.normalized);
  const std::string special = flag("special", flags.special);
  std::vector<std::string> members;
  if (id) {
    members = {Member(layout, "id", absl::StrCat(token.number)),
               content,
               word,
               lstrip,
               rstrip,
               normalized,
               special};
  } else {
    members = {content, lstrip, normalized, rstrip, word, special};
  }
  return EncloseJson(layout, depth, '{', '}', members);
}

// Which tokens that are no vocabulary of the first are put into the output's: none, so that they
// are numbered behind it; all, with their numbers; or, of a list in which a number is a place,
// those that stand before the last plain token.
std::vector<const TokenEntry*> IntoVocabulary(const TokenizerTokens& table,
                                              const TokenAdditions& more, bool all) {
  std::vector<const TokenEntry*> into;
  uint64_t last = 0;  // plain token
  for (const TokenEntry& token : more.tokens) {
    if (!token.added) last = std::max(last, token.number);
  }
  const auto wanted = [&](const TokenEntry& token) {
    if (token.in_vocabulary) return false;
    if (!more.plain) return all;
    return table.kind != "Unigram" || token.number <= last;
  };
  for (const size_t at : table.added) {
    if (wanted(table.tokens[at])) into.push_back(&table.tokens[at]);
  }
  for (const TokenEntry& token : more.tokens) {
    if (!token.added || wanted(token)) into.push_back(&token);
  }
  std::stable_sort(into.begin(), into.end(),
                   [](const auto* a, const auto* b) { return a->number < b->number; });
  return into;
}

// Whether all versions of the library give every token its number when they load the tokens of
// `table` and `more`, `into` in the vocabulary.
bool NumbersHold(const TokenizerTokens& table, const TokenAdditions& more,
                 const std::vector<const TokenEntry*>& into) {
  std::unordered_map<std::string_view, uint64_t> put;
  for (size_t i = 0; i < into.size(); ++i) {
    // In a list it gets its place.
    if (table.kind == "Unigram" && into[i]->number != table.vocabulary_size + i) return false;
    put.emplace(into[i]->text, into[i]->number);
  }
  std::vector<std::optional<uint64_t>> known;
  std::vector<uint64_t> wanted;
  const auto load = [&](const TokenEntry& token) {
    const auto at = put.find(token.text);
    std::optional<uint64_t> number;
    if (token.in_vocabulary) number = token.number;
    if (at != put.end()) number = at->second;
    known.push_back(number);
    wanted.push_back(token.number);
  };
  for (const size_t at : table.added) load(table.tokens[at]);
  for (const TokenEntry& token : more.tokens) {
    if (token.added) load(token);
  }
  const uint64_t size = table.vocabulary_size + into.size();
  return NumberAdded(known, size, NumberingRule::kCounted) == wanted &&
         NumberAdded(known, size, NumberingRule::kBehindLargest) == wanted;
}

// A score for tokens that only fill their places in Unigram's list: the least there is, so that
// neither they are preferred nor the score of unknown characters, which hangs on it, changes.
std::string LeastScore(const TokenizerTokens& table) {
  std::string least = "0.0";
  double value = std::numeric_limits<double>::infinity();
  for (const TokenEntry& token : table.tokens) {
    double score = 0;
    if (!absl::SimpleAtod(token.score, &score) || score >= value) continue;
    value = score;
    least = token.score;
  }
  return least;
}

// nullopt where the text has not the keys that its reader saw.
std::optional<std::string> TokenizerText(const std::string& text, const TokenizerTokens& table,
                                         const TokenAdditions& more,
                                         const std::vector<const TokenEntry*>& into) {
  const JsonLayout layout = LayoutOf(text);
  std::vector<JsonAddition> additions;
  std::vector<std::string> listed;
  const size_t depth = 2;
  // Those of the first that only tokenizer_config.json has: they would come behind the new ones.
  for (const size_t at : table.added) {
    const TokenEntry& token = table.tokens[at];
    if (!token.listed && !token.in_vocabulary) {
      listed.push_back(TokenObject(layout, depth, token, true));
    }
  }
  for (const TokenEntry& token : more.tokens) {
    if (token.added) listed.push_back(TokenObject(layout, depth, token, true));
  }
  if (table.has_added_tokens) {
    additions.push_back({{"added_tokens"}, std::move(listed)});
  } else if (!listed.empty()) {
    additions.push_back(
        {{}, {Member(layout, "added_tokens", EncloseJson(layout, 1, '[', ']', listed))}});
  }
  std::vector<std::string> vocabulary;
  const std::string least = table.kind == "Unigram" ? LeastScore(table) : "";
  for (const TokenEntry* token : into) {
    if (table.kind == "Unigram") {
      const std::string& score = token->added ? least : token->score;
      vocabulary.push_back(EncloseJson(layout, 3, '[', ']', {QuotedJson(token->text), score}));
    } else {
      vocabulary.push_back(Member(layout, token->text, absl::StrCat(token->number)));
    }
  }
  additions.push_back({{"model", "vocab"}, std::move(vocabulary)});
  std::vector<std::string> merges;
  merges.reserve(more.merges.size());
  for (const auto& [left, right] : more.merges) {
    merges.push_back(table.merges_are_pairs
                         ? EncloseJson(layout, 3, '[', ']', {QuotedJson(left), QuotedJson(right)})
                         : QuotedJson(absl::StrCat(left, " ", right)));
  }
  if (table.has_merges) {
    additions.push_back({{"model", "merges"}, std::move(merges)});
  } else if (!merges.empty()) {
    additions.push_back(
        {{"model"}, {Member(layout, "merges", EncloseJson(layout, 2, '[', ']', merges))}});
  }
  return AppendJson(text, additions);
}

// Added tokens whose numbers are not the vocabulary's and that `has` not.
template <typename Has>
std::vector<const TokenEntry*> Behind(const TokenizerTokens& table, const TokenAdditions& more,
                                      const Has& has) {
  std::vector<const TokenEntry*> tokens;
  for (const size_t at : table.added) {
    const TokenEntry& token = table.tokens[at];
    if (!token.in_vocabulary && !has(token)) tokens.push_back(&token);
  }
  for (const TokenEntry& token : more.tokens) {
    if (token.added) tokens.push_back(&token);
  }
  return tokens;
}

void WriteConfig(const std::string& text, const TokenizerTokens& table, const TokenAdditions& more,
                 UnitedTokenizer& united) {
  // Without the key the files beside it are read, which have the new ones; with it they are not.
  const std::optional<std::string_view> decoder = JsonAt(text, {kDecoder});
  if (!decoder.has_value() || !decoder->starts_with('{')) return;
  const JsonLayout layout = LayoutOf(text);
  JsonAddition addition{{kDecoder}, {}};
  for (const TokenEntry* token :
       Behind(table, more, [](const TokenEntry& one) { return one.settled; })) {
    addition.items.push_back(
        Member(layout, absl::StrCat(token->number), TokenObject(layout, 2, *token, false)));
  }
  if (addition.items.empty()) return;
  if (auto written = AppendJson(text, {addition})) united.written[kConfigFile] = *written;
}

void WriteAdded(const TokenizerFiles& first, const TokenizerTokens& table,
                const TokenAdditions& more, bool slow, UnitedTokenizer& united) {
  const auto file = first.texts.find(kAddedFile);
  const bool there = file != first.texts.end();
  if (!there && !slow) return;
  const std::string text = there ? file->second : "{}\n";
  std::set<std::string> known;
  for (JsonMember& member : JsonMembers(text)) known.insert(std::move(member.key));
  const JsonLayout layout = LayoutOf(text);
  JsonAddition addition;
  for (const TokenEntry* token :
       Behind(table, more, [&](const TokenEntry& one) { return known.contains(one.text); })) {
    if (known.contains(token->text)) continue;
    addition.items.push_back(Member(layout, token->text, absl::StrCat(token->number)));
  }
  if (addition.items.empty()) return;
  if (auto written = AppendJson(text, {addition})) united.written[kAddedFile] = *written;
}

}  // namespace

bool IsSlowTokenizerFile(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "bpe.codes",      "dict.txt",   "emoji.json", "merges.txt",       "sentencepiece.bpe.model",
      kTekken,          "vocab.bpe",  "vocab.json", "vocab.txt",        "vocab-src.json",
      "vocab-tgt.json", "source.spm", "target.spm", "target_vocab.json"};
  if (std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames)) return true;
  constexpr std::string_view kEndings[] = {".model", ".spm", ".tiktoken", ".vocab"};
  return std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

absl::Status WriteTokenizer(const TokenizerFiles& first, const TokenizerTokens& table,
                            const TokenAdditions& more, UnitedTokenizer& united) {
  std::vector<const TokenEntry*> into = IntoVocabulary(table, more, /*all=*/false);
  if (!NumbersHold(table, more, into)) {
    into = IntoVocabulary(table, more, /*all=*/true);
    if (!NumbersHold(table, more, into)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model ", Quoted(first.model), ": ", TokenizerPlace(first, kTokenizerFile),
          ": its tokens leave numbers out or share them, so that no tokens can be added and all "
          "keep their numbers; save it anew (AutoTokenizer.from_pretrained(...)"
          ".save_pretrained(...)), or name one model as tokenizer_source"));
    }
  }
  const std::string& text = first.texts.find(kTokenizerFile)->second;
  std::optional<std::string> written = TokenizerText(text, table, more, into);
  if (!written.has_value()) {
    return absl::InternalError(
        absl::StrCat(TokenizerPlace(first, kTokenizerFile), ": found no place for more tokens"));
  }
  united.written[kTokenizerFile] = *std::move(written);
  const auto config = first.texts.find(kConfigFile);
  if (config != first.texts.end()) WriteConfig(config->second, table, more, united);

  std::vector<std::string> slow;
  for (const auto& [name, unused] : first.texts) {
    if (IsSlowTokenizerFile(name)) slow.push_back(name);
  }
  WriteAdded(first, table, more, !slow.empty() && !more.plain, united);
  // Added tokens are read beside most of them; not beside Mistral's own.
  if (!more.plain) std::erase_if(slow, [](const std::string& name) { return name != kTekken; });
  if (slow.empty()) return absl::OkStatus();
  united.notes.push_back(absl::StrCat(
      absl::StrJoin(slow, ", ",
                    [](std::string* out, const std::string& name) { out->append(Shown(name)); }),
      " of model ", Quoted(first.model), slow.size() == 1 ? " is" : " are",
      " left out: tokens came in that ", slow.size() == 1 ? "it does" : "they do",
      " not have; tokenizer.json has all"));
  united.left_out = std::move(slow);
  return absl::OkStatus();
}

}  // namespace merganser
