#include "coordinator/service/filter_parser.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "coordinator/service/filter_value.h"

namespace merganser {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsQuote(char c) { return c == '"' || c == '\''; }
bool EndsText(char c) { return IsSpace(c) || IsQuote(c) || c == '(' || c == ')'; }

FilterNode Join(FilterNode::Kind kind, std::vector<FilterNode> parts) {
  if (parts.size() == 1) return std::move(parts.front());
  FilterNode node;
  node.kind = kind;
  node.parts = std::move(parts);
  return node;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<FilterNode> Parse() {
    MERGANSER_ASSIGN_OR_RETURN(FilterNode node, Expression(0));
    if (at_ < text_.size()) return Invalid("nothing more, or a matching '('");
    return node;
  }

 private:
  absl::Status Invalid(std::string_view expected) const {
    return SyntaxError(kFilterInvalid, "filter", at_, Next(), expected);
  }

  // What stands here, for a message.
  std::string Next() const {
    if (at_ >= text_.size()) return "the end";
    size_t end = at_ + 1;
    if (!EndsText(text_[at_])) {
      while (end < text_.size() && !EndsText(text_[end])) ++end;
    }
    return absl::StrCat("\"", Cut(OneLine(text_.substr(at_, end - at_)), 40), "\"");
  }

  void SkipSpace() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool AtEnd() const { return at_ >= text_.size() || text_[at_] == ')'; }

  // The comparator that begins at `at`.
  std::optional<Comparator> ComparatorAt(size_t at) const {
    const std::string_view rest = text_.substr(std::min(at, text_.size()));
    const bool equal = rest.size() > 1 && rest[1] == '=';
    if (rest.empty()) return std::nullopt;
    switch (rest[0]) {
      case '=':
        return Comparator::kEqual;
      case '!':
        return equal ? std::optional(Comparator::kNotEqual) : std::nullopt;
      case '<':
        return equal ? Comparator::kAtMost : Comparator::kLess;
      case '>':
        return equal ? Comparator::kAtLeast : Comparator::kMore;
      case ':':
        return Comparator::kHas;
      default:
        return std::nullopt;
    }
  }

  bool AtKeyword(std::string_view word) const {
    if (text_.substr(at_, word.size()) != word) return false;
    const size_t end = at_ + word.size();
    return end == text_.size() || EndsText(text_[end]);
  }
  bool AtAnyKeyword() const { return AtKeyword("AND") || AtKeyword("OR") || AtKeyword("NOT"); }
  bool TakeKeyword(std::string_view word) {
    if (!AtKeyword(word)) return false;
    at_ += word.size();
    SkipSpace();
    return true;
  }

  absl::StatusOr<FilterNode> Expression(int depth) {
    std::vector<FilterNode> parts;
    do {
      MERGANSER_ASSIGN_OR_RETURN(FilterNode part, Sequence(depth));
      parts.push_back(std::move(part));
    } while (TakeKeyword("AND"));
    return Join(FilterNode::Kind::kAll, std::move(parts));
  }

  absl::StatusOr<FilterNode> Sequence(int depth) {
    std::vector<FilterNode> parts;
    SkipSpace();
    do {
      MERGANSER_ASSIGN_OR_RETURN(FilterNode part, Factor(depth));
      parts.push_back(std::move(part));
    } while (!AtEnd() && !AtKeyword("AND"));
    return Join(FilterNode::Kind::kAll, std::move(parts));
  }

  absl::StatusOr<FilterNode> Factor(int depth) {
    std::vector<FilterNode> parts;
    do {
      MERGANSER_ASSIGN_OR_RETURN(FilterNode part, Term(depth));
      parts.push_back(std::move(part));
    } while (TakeKeyword("OR"));
    return Join(FilterNode::Kind::kAny, std::move(parts));
  }

  absl::StatusOr<FilterNode> Term(int depth) {
    bool negated = TakeKeyword("NOT");
    if (!negated && Peek() == '-') {
      negated = true;
      ++at_;
      if (at_ == text_.size() || IsSpace(text_[at_])) return Invalid("a restriction behind '-'");
    }
    MERGANSER_ASSIGN_OR_RETURN(FilterNode node, Simple(depth));
    SkipSpace();
    if (!negated) return node;
    FilterNode no;
    no.kind = FilterNode::Kind::kNot;
    no.parts.push_back(std::move(node));
    return no;
  }

  absl::StatusOr<FilterNode> Simple(int depth) {
    if (Peek() != '(') return Restriction();
    if (depth == kMaxFilterNesting) {
      return Invalid(absl::StrCat("at most ", kMaxFilterNesting, " parentheses in each other"));
    }
    const size_t opened = at_;
    ++at_;
    MERGANSER_ASSIGN_OR_RETURN(FilterNode node, Expression(depth + 1));
    if (Peek() != ')') {
      return Invalid(absl::StrCat("the ')' of the '(' at ", opened + 1));
    }
    ++at_;
    return node;
  }

  absl::StatusOr<FilterNode> Restriction() {
    if (AtEnd() || AtAnyKeyword()) return Invalid("a text, or a field and a value");
    FilterNode node;
    node.kind = FilterNode::Kind::kTest;
    if (IsQuote(Peek())) {
      MERGANSER_ASSIGN_OR_RETURN(const FilterValue text, QuotedText());
      node.test.words = true;
      node.test.text = SmallLetters(text.text);
      const size_t end = at_;
      SkipSpace();
      if (ComparatorAt(at_).has_value()) return Invalid("a field, which has no quotes, before it");
      at_ = end;
      return node;
    }
    const size_t begin = at_;
    while (at_ < text_.size() && !EndsText(text_[at_]) && !ComparatorAt(at_).has_value()) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (word.empty()) return Invalid("a field before it");
    MERGANSER_RETURN_IF_ERROR(CheckEndOfText());
    const size_t end = at_;
    SkipSpace();
    const std::optional<Comparator> comparator = ComparatorAt(at_);
    if (!comparator.has_value()) {
      at_ = end;
      node.test.words = true;
      node.test.text = SmallLetters(word);
      return node;
    }
    at_ += ComparatorText(*comparator).size();
    SkipSpace();
    MERGANSER_ASSIGN_OR_RETURN(const FilterValue value, Value());
    MERGANSER_ASSIGN_OR_RETURN(node.test, MakeFilterTest(word, begin, *comparator, value));
    return node;
  }

  // Texts stand apart from each other, and there are no functions.
  absl::Status CheckEndOfText() const {
    if (Peek() == '(' || IsQuote(Peek())) return Invalid("a space before it");
    return absl::OkStatus();
  }

  absl::StatusOr<FilterValue> Value() {
    if (AtEnd() || Peek() == '(' || AtAnyKeyword() || ComparatorAt(at_).has_value()) {
      return Invalid("a value");
    }
    if (IsQuote(Peek())) return QuotedText();
    FilterValue value;
    value.at = at_;
    while (at_ < text_.size() && !EndsText(text_[at_])) value.text += text_[at_++];
    MERGANSER_RETURN_IF_ERROR(CheckEndOfText());
    value.star_first = value.text.front() == '*';
    value.star_last = value.text.back() == '*';
    return value;
  }

  absl::StatusOr<FilterValue> QuotedText() {
    FilterValue value;
    value.at = at_;
    const char quote = text_[at_++];
    while (at_ < text_.size() && text_[at_] != quote) {
      const bool escaped = text_[at_] == '\\' && at_ + 1 < text_.size();
      if (escaped) ++at_;
      const bool star = !escaped && text_[at_] == '*';
      if (value.text.empty()) value.star_first = star;
      value.star_last = star;
      value.text += text_[at_++];
    }
    if (at_ == text_.size()) {
      return Invalid(absl::StrCat("the other quote of that at ", value.at + 1));
    }
    ++at_;
    if (at_ < text_.size() && text_[at_] != ')' && !IsSpace(text_[at_])) {
      if (!ComparatorAt(at_).has_value()) return Invalid("a space behind the quote");
    }
    return value;
  }

  const std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<FilterNode> ParseFilter(std::string_view text) {
  if (text.size() > kMaxFilterBytes) {
    return SyntaxError(kFilterInvalid, "filter", kMaxFilterBytes,
                       absl::StrCat(text.size(), " bytes"),
                       absl::StrCat("at most ", kMaxFilterBytes));
  }
  return Parser(text).Parse();
}

}  // namespace merganser
