#include "common/format/text.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace merganser {
namespace {

constexpr size_t kQuotedBytes = 160;

// One or, as JSON counts in UTF-16, two "\\u....".
void AppendEscape(char32_t point, std::string& out) {
  const auto unit = [&](uint32_t value) {
    absl::StrAppend(&out, "\\u", absl::Hex(value, absl::kZeroPad4));
  };
  if (point < 0x10000) return unit(point);
  unit(0xD800 + ((point - 0x10000) >> 10));
  unit(0xDC00 + ((point - 0x10000) & 0x3FF));
}

}  // namespace

std::string Quoted(std::string_view name) {
  if (name.size() <= kQuotedBytes) return absl::StrCat("'", OneLine(name), "'");
  return absl::StrCat("'", OneLine(WholeCharacters(name, kQuotedBytes)), "...' (", name.size(),
                      " bytes)");
}

void AppendJsonString(std::string_view text, std::string& out) {
  out.push_back('"');
  while (!text.empty()) {
    const auto [point, bytes] = FirstCharacter(text);
    const std::string_view character = text.substr(0, std::max<size_t>(bytes, 1));
    if (point == '"' || point == '\\') out.push_back('\\');
    if (bytes > 0 && IsHidden(point)) {
      AppendEscape(point, out);
    } else {
      out.append(character);
    }
    text.remove_prefix(character.size());
  }
  out.push_back('"');
}

std::string ShownJson(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  while (!json.empty()) {
    const auto [point, bytes] = FirstCharacter(json);
    const std::string_view character = json.substr(0, std::max<size_t>(bytes, 1));
    // What is below stands between the strings.
    if (bytes > 0 && point >= 0x7F && IsHidden(point)) {
      AppendEscape(point, out);
    } else {
      out.append(character);
    }
    json.remove_prefix(character.size());
  }
  return out;
}

}  // namespace merganser
