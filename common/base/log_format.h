// A line of the log as text: always one line, whatever names and messages hold. Pure.
#ifndef MERGANSER_COMMON_BASE_LOG_FORMAT_H_
#define MERGANSER_COMMON_BASE_LOG_FORMAT_H_

#include <string>
#include <string_view>

#include "common/base/log.h"

namespace merganser {

// What a line holds at most of its message, and of a field.
inline constexpr size_t kMaxLogMessage = 4096;
inline constexpr size_t kMaxLogValue = 1024;

// "info  job=jobs/7f unit=3 message". Values with blanks, quotes or '=' stand in double quotes.
// Each character that IsHidden is \n, \t, \x1b or \u{202e}, each byte that is no UTF-8 \xff.
std::string LogText(const LogLine& line);

// `"level":"info","job":"jobs/7f","unit":3,"message":"..."`: the members of an object, to stand
// behind its time. Hidden characters are \u001b and the like, bytes that are no UTF-8 \ufffd.
std::string LogJson(const LogLine& line);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_LOG_FORMAT_H_
