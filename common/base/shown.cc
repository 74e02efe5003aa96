#include "common/base/shown.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace merganser {
namespace {

constexpr size_t kTailBytes = 80;
constexpr char kMark[] = "...";

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xC0u) == 0x80u; }

}  // namespace

std::string_view WholeCharacters(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  size_t cut = most;
  // A character has at most three bytes that continue it.
  for (int i = 0; i < 3 && cut > 0 && Continues(text[cut]); ++i) --cut;
  return text.substr(0, cut);
}

std::string Cut(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  constexpr size_t kMarkBytes = sizeof(kMark) - 1;
  return absl::StrCat(std::string(WholeCharacters(text, most - kMarkBytes)), kMark);
}

std::string Harmless(std::string_view text, std::string_view kept) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const auto [point, bytes] = FirstCharacter(text);
    const bool keep = bytes == 1 && kept.find(text.front()) != std::string_view::npos;
    if (bytes == 0 || (IsHidden(point) && !keep)) {
      shown.push_back('?');
    } else {
      shown.append(text.substr(0, bytes));
    }
    text.remove_prefix(std::max<size_t>(bytes, 1));
  }
  return shown;
}

std::string ShownLines(std::string_view text) { return Harmless(text, "\n"); }

std::string Shown(std::string_view text) {
  if (text.size() <= kShownBytes) return OneLine(text);
  size_t tail = text.size() - kTailBytes;
  for (int i = 0; i < 3 && Continues(text[tail]); ++i) ++tail;
  return absl::StrCat(OneLine(WholeCharacters(text, kShownBytes - kTailBytes)), kMark,
                      OneLine(text.substr(tail)), " (", text.size(), " bytes)");
}

}  // namespace merganser
