// JSON that is written back as it is read, event by event. Pure.
#ifndef MERGANSER_COMMON_CONFIG_JSON_TEXT_H_
#define MERGANSER_COMMON_CONFIG_JSON_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "common/format/python_numbers.h"

namespace merganser {

// Deeper nesting than any file of a model has; keeps indentation from growing quadratic.
inline constexpr size_t kMaxJsonDepth = 64;

// Whether brackets of `json` are nested deeper than that. Trees are walked by calls: one of a text
// as deep as its author likes would end the process. For JSON that is to become one.
bool NestsDeeply(std::string_view json);

// An object or an array that is open.
struct JsonLevel {
  char close = 0;  // what ends it
  bool empty = true;
  std::string key;  // of an object, the last
};

std::string QuotedJson(std::string_view text);
// As it stood in the text, where Python's own numbers were replaced by those of `python`.
std::string NumberText(const std::string& spelling, const PythonNumbers& python);
// What stands before the next value of the innermost of `depth` levels: comma, indentation, key.
void BeginJsonValue(size_t depth, JsonLevel& level, std::string& out);
// The end of `level`, around which `depth` levels are open yet.
void EndJsonLevel(size_t depth, const JsonLevel& level, std::string& out);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_JSON_TEXT_H_
