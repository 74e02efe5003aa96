#include "common/format/python_numbers.h"

#include <cstddef>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

constexpr std::string_view kNan = "NaN";
constexpr std::string_view kInfinity = "Infinity";

}  // namespace

std::string ReplacePythonNumbers(std::string_view text, const PythonNumbers& numbers) {
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      out += text[i++];
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string && text.substr(i).starts_with(kNan) && (i == 0 || text[i - 1] != '-')) {
      out += numbers.nan;
      i += kNan.size() - 1;
      continue;
    } else if (!in_string && text.substr(i).starts_with(kInfinity)) {
      out += numbers.infinity;
      i += kInfinity.size() - 1;
      continue;
    }
    out += text[i];
  }
  return out;
}

PythonNumbers UnusedNumbers(std::string_view text) {
  for (int i = 1;; ++i) {
    // A fraction of many digits, and an exponent that keeps it finite.
    const std::string stem = absl::StrCat("7.", i, "e-1");
    if (text.find(stem) == std::string_view::npos) return {stem + "1", stem + "2"};
  }
}

}  // namespace merganser
