// Text of others in our messages: bounded, and cut between two characters.
#ifndef MERGANSER_COMMON_BASE_SHOWN_H_
#define MERGANSER_COMMON_BASE_SHOWN_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace merganser {

// What a message shows at most of one name, path or value, without the mark of the cut.
inline constexpr size_t kShownBytes = 320;

// `text` on one line (OneLine) for a message. What is longer than kShownBytes loses its
// middle, since both ends of a path say something: "/a/b...c/d (5000 bytes)".
std::string Shown(std::string_view text);

// The longest beginning of UTF-8 `text` of at most `most` bytes that ends with a whole
// character. What is not UTF-8 is cut there too, up to three bytes early.
std::string_view WholeCharacters(std::string_view text, size_t most);

// `text`, or a beginning of it with "..." behind: `most` bytes in all, at least 3.
std::string Cut(std::string_view text, size_t most);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_SHOWN_H_
