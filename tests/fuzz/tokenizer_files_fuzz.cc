// The tokenizers of two models: tokenizer.json and tokenizer_config.json of each, with "%%"
// between.
//
// A union gives every token of the first its number, has all tokens of both, and is read again as
// it was made.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/checkpoint/tokenizer_sections.h"
#include "common/checkpoint/vocabulary.h"
#include "common/tokenizer/tokenizer_tokens.h"
#include "common/tokenizer/tokenizer_union.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

constexpr char kTokenizer[] = "tokenizer.json";
constexpr char kConfig[] = "tokenizer_config.json";

void RequireSections(std::string_view text) {
  const auto sections = FindTokenizerSections(text);
  if (!sections.has_value()) return;
  for (const TokenizerSections::Span& span : {sections->vocab, sections->merges}) {
    Require(span.begin <= span.end && span.end <= text.size(), "a section out of the text");
  }
  for (const bool keep : {false, true}) {
    const std::string less = WithoutSections(text, *sections, keep);
    Require(less.size() <= text.size() + 4, "less is more");
  }
}

absl::StatusOr<TokenizerTokens> Table(const TokenizerFiles& files) {
  absl::StatusOr<TokenizerTokens> table = ReadTokenTable(files, /*with_merges=*/true);
  if (!table.ok()) {
    RequireRefusal(table.status(),
                   {absl::StatusCode::kDataLoss, absl::StatusCode::kInvalidArgument});
    return table;
  }
  Require(table->index.size() == table->tokens.size(), "a token twice");
  for (const TokenEntry& token : table->tokens) {
    Require(table->Find(token.text) == &token, "a token that is not found", token.text);
    Require(token.in_vocabulary || token.added, "a token of nothing", token.text);
  }
  for (const size_t at : table->added) {
    Require(at < table->tokens.size() && table->tokens[at].added, "an added token that is none");
  }
  return table;
}

void RequireUnion(const TokenizerFiles& first, const TokenizerTokens& a,
                  const TokenizerFiles& second, const TokenizerTokens& b) {
  const auto alone = UniteTokenizers({first, first});
  Require(alone.ok() && alone->written.empty() && alone->added.empty(),
          "a tokenizer that brings itself something", alone.status().ToString());
  const auto united = UniteTokenizers({first, second});
  if (!united.ok()) {
    RequireRefusal(united.status(),
                   {absl::StatusCode::kDataLoss, absl::StatusCode::kInvalidArgument});
    return;
  }
  size_t more = 0;
  for (const TokenEntry& token : b.tokens) more += a.Find(token.text) == nullptr ? 1 : 0;
  Require(united->added.size() == more, "not the tokens that the first lacks");
  Require(united->written.empty() == (more == 0), "files without tokens, or tokens without");
  TokenizerFiles output = first;
  for (const std::string& name : united->left_out) output.texts.erase(name);
  for (const auto& [name, text] : united->written) output.texts[name] = text;
  const auto table = Table(output);
  Require(table.ok(), "a union that cannot be read", table.status().ToString());
  for (const TokenEntry& token : a.tokens) {
    const TokenEntry* there = table->Find(token.text);
    Require(there != nullptr && there->number == token.number,
            "a token of the first without its number", token.text);
  }
  for (const TokenEntry& token : b.tokens) {
    Require(table->Find(token.text) != nullptr, "a token that did not come along", token.text);
  }
  Require(table->tokens.size() == a.tokens.size() + more, "tokens of nobody");
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto parts = PartsOf(TextOf(data, size), 4);
  for (const std::string_view text : {parts[0], parts[2]}) {
    RequireSections(text);
    const auto vocabulary = ParseVocabulary(text);
    if (!vocabulary.ok()) {
      RequireRefusal(vocabulary.status(), {absl::StatusCode::kDataLoss});
      continue;
    }
    Require(SameVocabulary(*vocabulary, *vocabulary), "a vocabulary that differs from itself");
    for (const std::string& token : vocabulary->added) {
      Require(vocabulary->tokens.contains(token), "an added token without a number", token);
    }
  }
  TokenizerFiles files[2];
  for (const size_t i : {0, 1}) {
    files[i].model = i == 0 ? "first" : "second";
    files[i].where = "/models";
    files[i].texts[kTokenizer] = std::string(parts[2 * i]);
    if (!parts[2 * i + 1].empty()) files[i].texts[kConfig] = std::string(parts[2 * i + 1]);
  }
  const auto a = Table(files[0]);
  if (!a.ok()) return 0;
  const auto b = Table(files[1]);
  if (!b.ok()) return 0;
  RequireUnion(files[0], *a, files[1], *b);
  return 0;
}
