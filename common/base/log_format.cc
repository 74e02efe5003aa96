#include "common/base/log_format.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/base/utf8.h"

namespace merganser {
namespace {

// `text` with what `escape` makes of each character; `escape` is given 0 bytes for a byte that is
// no UTF-8, and appends.
template <typename Escape>
std::string Escaped(std::string_view text, Escape escape) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto [point, bytes] = FirstCharacter(text);
    escape(out, text.substr(0, std::max<size_t>(bytes, 1)), point, bytes != 0);
    text.remove_prefix(std::max<size_t>(bytes, 1));
  }
  return out;
}

void EscapeText(std::string& out, std::string_view bytes, char32_t point, bool valid) {
  if (!valid) {
    out += Formatted("\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(bytes.front())));
  } else if (point == '\n') {
    out += "\\n";
  } else if (point == '\t') {
    out += "\\t";
  } else if (!IsHidden(point)) {
    out += bytes;
  } else if (point < 0x100) {
    out += Formatted("\\x%02x", static_cast<unsigned>(point));
  } else {
    out += Formatted("\\u{%x}", static_cast<unsigned>(point));
  }
}

void EscapeJson(std::string& out, std::string_view bytes, char32_t point, bool valid) {
  if (!valid) {
    out += "\\ufffd";
  } else if (point == '"' || point == '\\') {
    out += '\\';
    out += bytes;
  } else if (!IsHidden(point)) {
    out += bytes;
  } else if (point < 0x10000) {
    out += Formatted("\\u%04x", static_cast<unsigned>(point));
  } else {
    const unsigned above = static_cast<unsigned>(point) - 0x10000;
    out += Formatted("\\u%04x\\u%04x", 0xd800 + (above >> 10), 0xdc00 + (above & 0x3ffu));
  }
}

std::string TextValue(const std::string& value) {
  const std::string shown = Escaped(Cut(value, kMaxLogValue), EscapeText);
  if (shown.find_first_of(" \"=") == std::string::npos) return shown;
  std::string quoted = "\"";
  for (const char c : shown) {
    if (c == '"') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

std::string Quoted(std::string_view text, size_t most) {
  return absl::StrCat("\"", Escaped(Cut(text, most), EscapeJson), "\"");
}

}  // namespace

std::string LogText(const LogLine& line) {
  std::string text = Formatted("%-5s ", LogLevelName(line.level));
  for (const LogField& field : line.fields) {
    if (field.value.empty()) continue;
    absl::StrAppend(&text, std::string(field.key), "=", TextValue(field.value), " ");
  }
  return text + Escaped(Cut(line.message, kMaxLogMessage), EscapeText);
}

std::string LogJson(const LogLine& line) {
  std::string json = absl::StrCat("\"level\":\"", std::string(LogLevelName(line.level)), "\"");
  for (const LogField& field : line.fields) {
    if (field.value.empty()) continue;
    absl::StrAppend(&json, ",\"", std::string(field.key),
                    "\":", field.number ? field.value : Quoted(field.value, kMaxLogValue));
  }
  absl::StrAppend(&json, ",\"message\":", Quoted(line.message, kMaxLogMessage));
  return json;
}

}  // namespace merganser
