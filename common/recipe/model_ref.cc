#include "common/recipe/model_ref.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

// "s3" of "s3://bucket/x"; empty where the text begins with no scheme.
std::string_view SchemeOf(std::string_view text) {
  const size_t end = text.find("://");
  if (end == std::string_view::npos || end == 0) return {};
  const std::string_view scheme = text.substr(0, end);
  const bool word = std::all_of(scheme.begin(), scheme.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.';
  });
  return word ? scheme : std::string_view();
}

// Whether a '+' before `next` ends `part`.
bool Separates(std::string_view part, std::string_view next) {
  const std::string_view scheme = SchemeOf(part);
  if (scheme.empty() || scheme == "hf") return true;
  return !SchemeOf(next).empty() || next.starts_with('/') || next.starts_with("./") ||
         next.starts_with("../");
}

}  // namespace

std::string ModelRefText(const ModelRef& ref) {
  std::string text = ref.path;
  for (const ModelAdapter& adapter : ref.adapters) {
    absl::StrAppend(&text, ref.may_be_path ? "+" : " + ",
                    adapter.weight == 1 ? std::string() : absl::StrCat(adapter.weight, "*"),
                    adapter.path);
  }
  return text;
}

std::optional<ModelRef> SplitModelText(std::string_view text) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t at = text.find('+'); at != std::string_view::npos; at = text.find('+', at + 1)) {
    if (!Separates(text.substr(begin, at - begin), text.substr(at + 1))) continue;
    parts.emplace_back(text.substr(begin, at - begin));
    begin = at + 1;
  }
  if (parts.empty()) return std::nullopt;
  parts.emplace_back(text.substr(begin));
  ModelRef ref;
  ref.path = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) ref.adapters.push_back({parts[i], 1});
  ref.may_be_path = SchemeOf(text).empty();
  return ref;
}

}  // namespace merganser
