// Text of a manual page, as man(7) has it.
#ifndef MERGANSER_COORDINATOR_CLI_ROFF_H_
#define MERGANSER_COORDINATOR_CLI_ROFF_H_

#include <string>
#include <string_view>

namespace merganser::cli {

// `text` as it is read, for a line of text or an argument of a macro in double quotes: nothing in
// it is an escape, quotes stay straight, and words that begin as flags do keep their hyphens to
// copy. White space is one space between words. Characters beyond ASCII become escapes; bytes that
// are no UTF-8, '?'.
std::string RoffText(std::string_view text);

// The same for a name that is typed: every hyphen is one to copy.
std::string RoffName(std::string_view name);

// `text`, which is RoffText's, in lines below 80 characters, each ended, none of them a request.
// Empty for what is empty or blank.
std::string RoffLines(std::string_view text);

// In bold, or in italics (what a value is called); for a place where the font was roman.
std::string RoffBold(std::string_view name);
std::string RoffItalic(std::string_view name);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_ROFF_H_
