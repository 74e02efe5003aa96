#include "common/methods/name_parts.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"

namespace merganser {
namespace {

bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// Calls `visit` with what stands between separators, empty or not.
template <typename Visit>
void Split(std::string_view text, char separator, Visit visit) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    visit(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

}  // namespace

bool NamePart::Is(std::initializer_list<std::string_view> texts) const {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

bool NamePart::HasWord(std::initializer_list<std::string_view> any) const {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return std::find(any.begin(), any.end(), word) != any.end();
  });
}

bool NamePart::Contains(std::initializer_list<std::string_view> any) const {
  return std::any_of(any.begin(), any.end(),
                     [&](std::string_view part) { return text.find(part) != std::string::npos; });
}

bool NamePart::IsNumber() const { return AllDigits(text); }

NameParts TakeApart(std::string_view name) {
  NameParts out;
  const std::string lower = absl::AsciiStrToLower(std::string(name));
  out.bias = lower.ends_with("bias");
  Split(lower, '.', [&](std::string_view component) {
    NamePart& part = out.parts.emplace_back();
    part.text = std::string(component);
    Split(component, '_', [&](std::string_view word) {
      if (!word.empty() && !AllDigits(word)) part.words.emplace_back(word);
    });
    out.numbered = out.numbered || part.IsNumber();
  });
  if (out.parts.size() > 1 && out.last().Is({"weight", "bias"})) out.parts.pop_back();
  return out;
}

}  // namespace merganser
