// The one decoder of UTF-8, and which characters a page or a terminal may not be given.
#ifndef MERGANSER_COMMON_BASE_UTF8_H_
#define MERGANSER_COMMON_BASE_UTF8_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace merganser {

struct Utf8Character {
  char32_t point = 0;
  size_t bytes = 0;  // 0: the text begins with none
};

// The first character of `text`, well-formed as RFC 3629 says: no overlong forms, no
// surrogates, nothing above U+10FFFF.
Utf8Character FirstCharacter(std::string_view text);

// The position of the first byte that is not part of well-formed UTF-8; nullopt when all
// of `text` is.
std::optional<size_t> FirstInvalidUtf8(std::string_view text);

// Appends `point`, which is no surrogate and at most U+10FFFF.
void AppendUtf8(char32_t point, std::string& out);

// `text` with every byte that is not part of well-formed UTF-8 replaced by '?': what a
// protobuf `string` may hold. Names of files may be any bytes.
std::string Utf8(std::string_view text);

// What can move a cursor, break a line, turn the direction of writing round or hide in a
// name: controls (C0, DEL, C1), separators of lines and paragraphs, marks and overrides of
// direction, and format characters that show nothing. The two joiners are not: words of
// Persian and many emoji are written with them.
bool IsHidden(char32_t point);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_UTF8_H_
