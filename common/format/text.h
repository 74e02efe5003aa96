// Text as it stands in headers and in messages about them.
#ifndef MERGANSER_COMMON_FORMAT_TEXT_H_
#define MERGANSER_COMMON_FORMAT_TEXT_H_

#include <string>
#include <string_view>

namespace merganser {

// `name` between single quotes for a message: on one line, and cut when longer
// than 160 bytes.
std::string Quoted(std::string_view name);

// Appends `text` as a JSON string with its quotes; what IsHidden is escaped. `text` must be
// UTF-8.
void AppendJsonString(std::string_view text, std::string& out);

// The JSON text `json` with what IsHidden in its strings escaped: the same values, fit for
// a terminal.
std::string ShownJson(std::string_view json);

}  // namespace merganser

#endif  // MERGANSER_COMMON_FORMAT_TEXT_H_
