#include "common/base/utf8.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace merganser {
namespace {

constexpr uint32_t kLeastOfLength[] = {0, 0, 0x80, 0x800, 0x10000};

struct Range {
  char32_t first, last;
};
constexpr Range kHidden[] = {
    {0x0000, 0x001F},    // C0
    {0x007F, 0x009F},    // DEL, C1
    {0x00AD, 0x00AD},    // soft hyphen
    {0x061C, 0x061C},    // Arabic letter mark
    {0x180E, 0x180E},    // Mongolian vowel separator
    {0x200B, 0x200B},    // zero width space
    {0x200E, 0x200F},    // marks of direction
    {0x2028, 0x202E},    // separators of lines; embeddings and overrides of direction
    {0x2060, 0x206F},    // word joiner, invisible operators, isolates, deprecated ones
    {0xFEFF, 0xFEFF},    // byte order mark
    {0xFFF9, 0xFFFB},    // interlinear annotations
    {0x1BCA0, 0x1BCA3},  // shorthand's
    {0x1D173, 0x1D17A},  // music's
    {0xE0000, 0xE007F},  // tags
};

}  // namespace

Utf8Character FirstCharacter(std::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  // 0xC0 and 0xC1 would be overlong, 0xF5 and above beyond the last code point.
  if (lead < 0xC2 || lead > 0xF4) return {};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (length > text.size()) return {};
  uint32_t point = lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0u) != 0x80u) return {};
    point = point << 6 | (byte(i) & 0x3Fu);
  }
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  if (point < kLeastOfLength[length] || point > 0x10FFFF || surrogate) return {};
  return {point, length};
}

std::optional<size_t> FirstInvalidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = FirstCharacter(text.substr(at)).bytes;
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::nullopt;
}

void AppendUtf8(char32_t point, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto tail = [&](int shift) { put(0x80u | ((point >> shift) & 0x3Fu)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0u | (point >> 6));
    tail(0);
  } else if (point < 0x10000) {
    put(0xE0u | (point >> 12));
    tail(6);
    tail(0);
  } else {
    put(0xF0u | (point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string Utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t bytes = FirstCharacter(text).bytes;
    if (bytes == 0) {
      valid.push_back('?');
    } else {
      valid.append(text.substr(0, bytes));
    }
    text.remove_prefix(std::max<size_t>(bytes, 1));
  }
  return valid;
}

bool IsHidden(char32_t point) {
  if (point >= 0x20 && point < 0x7F) return false;
  const auto* range = std::find_if(std::begin(kHidden), std::end(kHidden),
                                   [&](const Range& candidate) { return point <= candidate.last; });
  return range != std::end(kHidden) && point >= range->first;
}

}  // namespace merganser
