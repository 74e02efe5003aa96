#include "coordinator/cli/roff.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/utf8.h"

namespace merganser::cli {
namespace {

constexpr size_t kLineLength = 78;

std::string Escaped(std::string_view text, bool hyphens) {
  std::string out;
  while (!text.empty()) {
    const Utf8Character character = FirstCharacter(text);
    text.remove_prefix(character.bytes == 0 ? 1 : character.bytes);
    if (character.bytes == 0) {
      out += '?';
    } else if (character.point >= 0x80) {
      // groff takes digits in capitals alone.
      const std::string point = absl::StrCat(absl::Hex(character.point, absl::kZeroPad4));
      absl::StrAppend(&out, "\\[u", absl::AsciiStrToUpper(point), "]");
    } else {
      switch (const char c = static_cast<char>(character.point); c) {
        case '\\':
          out += "\\e";
          break;
        case '-':
          out += hyphens ? "\\-" : "-";
          break;
        // What troff shows as typographic quotes and accents.
        case '\'':
          out += "\\(aq";
          break;
        case '`':
          out += "\\(ga";
          break;
        case '^':
          out += "\\(ha";
          break;
        case '~':
          out += "\\(ti";
          break;
        case '"':
          out += "\\(dq";
          break;
        default:
          out += c;
      }
    }
  }
  return out;
}

bool IsFlag(std::string_view word) {
  const size_t begins = word.find_first_not_of("(\"'");
  if (begins == std::string_view::npos) return false;
  word.remove_prefix(begins);
  return word.size() > 1 && word[0] == '-' && (word[1] == '-' || absl::ascii_isalpha(word[1]));
}

}  // namespace

std::string RoffText(std::string_view text) {
  std::string out;
  const std::string owned(text);
  for (const absl::string_view part :
       absl::StrSplit(owned, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    const std::string_view word(part.data(), part.size());
    absl::StrAppend(&out, out.empty() ? "" : " ", Escaped(word, IsFlag(word)));
  }
  return out;
}

std::string RoffName(std::string_view name) { return Escaped(name, /*hyphens=*/true); }

std::string RoffLines(std::string_view text) {
  std::string out, line;
  const auto end_line = [&] {
    if (line.empty()) return;
    if (line.front() == '.' || line.front() == '\'') out += "\\&";
    absl::StrAppend(&out, line, "\n");
    line.clear();
  };
  const std::string owned(text);
  for (const absl::string_view word :
       absl::StrSplit(owned, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (!line.empty() && line.size() + 1 + word.size() > kLineLength) end_line();
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  end_line();
  return out;
}

std::string RoffBold(std::string_view name) { return absl::StrCat("\\fB", RoffName(name), "\\fR"); }

std::string RoffItalic(std::string_view name) {
  return absl::StrCat("\\fI", RoffName(name), "\\fR");
}

}  // namespace merganser::cli
