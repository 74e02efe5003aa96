// printf's formats, checked at compile time, where memory may run out.
#ifndef MERGANSER_COMMON_BASE_FORMAT_H_
#define MERGANSER_COMMON_BASE_FORMAT_H_

#include <cstddef>
#include <string>

#include "absl/strings/str_format.h"

namespace merganser {

// What absl::StrFormat returns. That one appends to its string in a destructor, so that a string
// for which there is no memory ends the process; this one throws std::bad_alloc as others do.
template <typename... Args>
std::string Formatted(const absl::FormatSpec<Args...>& format, const Args&... args) {
  char buffer[256];
  const int size = absl::SNPrintF(buffer, sizeof(buffer), format, args...);
  if (size < 0) return "";
  const auto length = static_cast<size_t>(size);
  if (length < sizeof(buffer)) return std::string(buffer, length);
  std::string text(length + 1, '\0');
  absl::SNPrintF(text.data(), text.size(), format, args...);
  text.resize(length);
  return text;
}

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_FORMAT_H_
