#include "coordinator/web/encode.h"

#include <bit>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/utf8.h"

namespace merganser::web {
namespace {

static_assert(std::endian::native == std::endian::little);

unsigned Digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  return 0;
}

}  // namespace

std::string Base64(std::string_view bytes) {
  return absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
}

std::string Base64Floats(std::span<const float> values) {
  const std::span<const std::byte> bytes = std::as_bytes(values);
  return Base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string Base64Bytes(std::span<const uint8_t> values) {
  return Base64({reinterpret_cast<const char*>(values.data()), values.size()});
}

std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(Digit(hex[i]) * 16 + Digit(hex[i + 1]));
  }
  return bytes;
}

std::string HtmlText(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Character first = FirstCharacter(text);
    if (first.bytes == 0) {
      out += '?';
      text.remove_prefix(1);
      continue;
    }
    const std::string_view bytes = text.substr(0, first.bytes);
    text.remove_prefix(first.bytes);
    if (bytes == "&") {
      out += "&amp;";
    } else if (bytes == "<") {
      out += "&lt;";
    } else if (bytes == ">") {
      out += "&gt;";
    } else if (bytes == "\"") {
      out += "&quot;";
    } else if (bytes == "'") {
      out += "&#39;";
    } else if (bytes != "\n" && IsHidden(first.point)) {
      absl::StrAppend(&out, "\\u{", absl::Hex(static_cast<uint32_t>(first.point)), "}");
    } else {
      out += bytes;
    }
  }
  return out;
}

std::string ScriptJson(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    // Outside of strings JSON has none of them, so each stands in a string.
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace merganser::web
