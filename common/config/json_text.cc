#include "common/config/json_text.h"

#include <nlohmann/json.hpp>

namespace merganser {

bool NestsDeeply(std::string_view json) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

std::string QuotedJson(std::string_view text) {
  using Json = nlohmann::ordered_json;
  return Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string NumberText(const std::string& spelling, const PythonNumbers& python) {
  if (spelling == python.nan) return "NaN";
  if (spelling == python.infinity) return "Infinity";
  if (spelling == "-" + python.infinity) return "-Infinity";
  return spelling;
}

void BeginJsonValue(size_t depth, JsonLevel& level, std::string& out) {
  out += level.empty ? "\n" : ",\n";
  level.empty = false;
  out.append(2 * depth, ' ');
  if (level.close == '}') out += QuotedJson(level.key) + ": ";
}

void EndJsonLevel(size_t depth, const JsonLevel& level, std::string& out) {
  if (!level.empty) {
    out += '\n';
    out.append(2 * depth, ' ');
  }
  out += level.close;
}

}  // namespace merganser
