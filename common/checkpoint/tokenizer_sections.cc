#include "common/checkpoint/tokenizer_sections.h"

#include <algorithm>
#include <array>
#include <utility>

namespace merganser {
namespace {

// Steps over JSON text value by value. Every step is false where the text is not what it should be.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  size_t at() const { return at_; }
  void Space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }
  bool Take(char wanted) {
    Space();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  // A string; `out` gets what is between its quotes, as it is written.
  bool String(std::string_view& out) {
    if (!Take('"')) return false;
    const size_t begin = at_;
    if (!PastQuote()) return false;
    out = text_.substr(begin, at_ - 1 - begin);
    return true;
  }
  // A value, from its first byte to behind its last.
  bool Value(TokenizerSections::Span& span) {
    Space();
    span.begin = at_;
    size_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;  // behind a number or a word
      ++at_;
      if (c == '"') {
        if (!PastQuote()) return false;
        if (depth == 0) break;
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if (c == '}' || c == ']') {
        if (--depth == 0) break;
      }
    }
    span.end = at_;
    return depth == 0 && span.end > span.begin;
  }

 private:
  // To behind the quote that ends a string.
  bool PastQuote() {
    while (true) {
      const size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos) return false;
      size_t slashes = 0;
      while (quote - slashes > at_ && text_[quote - slashes - 1] == '\\') ++slashes;
      at_ = quote + 1;
      if (slashes % 2 == 0) return true;
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

// Steps over an object; `on_key` is asked at each value, and has to step over it.
template <typename OnKey>
bool Object(Scanner& scanner, const OnKey& on_key) {
  if (!scanner.Take('{')) return false;
  if (scanner.Take('}')) return true;
  do {
    std::string_view key;
    if (!scanner.String(key) || !scanner.Take(':') || !on_key(key)) return false;
  } while (scanner.Take(','));
  return scanner.Take('}');
}

bool Once(Scanner& scanner, TokenizerSections::Span& span) {
  if (span.end != 0) return false;
  return scanner.Value(span);
}

}  // namespace

std::optional<TokenizerSections> FindTokenizerSections(std::string_view text) {
  TokenizerSections sections;
  Scanner scanner(text);
  TokenizerSections::Span other;
  bool models = false;
  const bool found = Object(scanner, [&](std::string_view key) {
    if (key != "model") return scanner.Value(other);
    if (std::exchange(models, true)) return false;
    return Object(scanner, [&](std::string_view part) {
      if (part == "vocab") return Once(scanner, sections.vocab);
      if (part == "merges") return Once(scanner, sections.merges);
      return scanner.Value(other);
    });
  });
  scanner.Space();
  if (!found || scanner.at() != text.size() || sections.vocab.end == 0) return std::nullopt;
  return sections;
}

std::string WithoutSections(std::string_view text, const TokenizerSections& sections,
                            bool keep_vocab) {
  std::array<TokenizerSections::Span, 2> dropped = {
      sections.merges, keep_vocab ? TokenizerSections::Span() : sections.vocab};
  std::sort(dropped.begin(), dropped.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  std::string out;
  size_t at = 0;
  for (const TokenizerSections::Span& span : dropped) {
    if (span.end == 0) continue;
    out += text.substr(at, span.begin - at);
    out += "{}";
    at = span.end;
  }
  out += text.substr(at);
  return out;
}

}  // namespace merganser
