// Text as it stands in headers and in messages about them.
#ifndef MERGANSER_COMMON_FORMAT_TEXT_H_
#define MERGANSER_COMMON_FORMAT_TEXT_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace merganser {

// The position of the first byte that is not part of well-formed UTF-8 (RFC
// 3629: no overlong forms, no surrogates, nothing above U+10FFFF); nullopt when
// all of `text` is.
std::optional<size_t> FirstInvalidUtf8(std::string_view text);

// `name` between single quotes for a message: on one line, and cut when longer
// than 160 bytes.
std::string Quoted(std::string_view name);

// Appends `text` as a JSON string with its quotes. `text` must be UTF-8.
void AppendJsonString(std::string_view text, std::string& out);

}  // namespace merganser

#endif  // MERGANSER_COMMON_FORMAT_TEXT_H_
