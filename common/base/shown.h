// Text of others in our messages: harmless, bounded, and cut between two characters.
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

// OneLine of each line of `text`; its line ends stay.
std::string ShownLines(std::string_view text);

// `text` with '?' for each character that IsHidden and is not in `kept`, and for each byte
// that is not part of well-formed UTF-8.
std::string Harmless(std::string_view text, std::string_view kept);

// The longest beginning of UTF-8 `text` of at most `most` bytes that ends with a whole
// character. What is not UTF-8 is cut there too, up to three bytes early.
std::string_view WholeCharacters(std::string_view text, size_t most);

// `text`, or a beginning of it with "..." behind: `most` bytes in all, at least 3.
std::string Cut(std::string_view text, size_t most);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_SHOWN_H_
