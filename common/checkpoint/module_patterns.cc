#include "common/checkpoint/module_patterns.h"

#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kLongest = 4096;
// Of the names that expressions are held against.
constexpr size_t kLongestName = 1024;

// The characters that a pattern without operators stands for.
std::optional<std::vector<char>> PlainName(std::string_view text) {
  std::vector<char> out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '/') {
      out.push_back(c);
    } else if (c == '.') {
      out.push_back('\0');
    } else if (c == '\\' && i + 1 < text.size() && (text[i + 1] == '.' || text[i + 1] == '-')) {
      out.push_back(text[++i]);
    } else if (c != '$' || i + 1 != text.size()) {
      return std::nullopt;
    }
  }
  return out;
}

bool Fits(const std::vector<char>& plain, std::string_view name) {
  if (plain.size() != name.size()) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    if (plain[i] != '\0' && plain[i] != name[i]) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<ModulePattern> ModulePattern::Parse(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", Quoted(text), ", expected a module's name or a regular expression",
                     std::string(why)));
  };
  if (text.empty()) return wrong("");
  if (text.size() > kLongest) return wrong(" of at most 4096 characters");
  ModulePattern pattern;
  pattern.text_ = std::string(text);
  pattern.anchored_ = text.front() == '^';
  const std::string_view rest = text.substr(pattern.anchored_ ? 1 : 0);
  if (std::optional<std::vector<char>> plain = PlainName(rest); plain.has_value()) {
    pattern.plain_ = *std::move(plain);
    return pattern;
  }
  RE2::Options options;
  options.set_log_errors(false);
  pattern.whole_ = std::make_shared<const RE2>(pattern.text_, options);
  pattern.end_ =
      std::make_shared<const RE2>(absl::StrCat("(?:.*\\.)?(?:", pattern.text_, ")"), options);
  if (!pattern.whole_->ok() || !pattern.end_->ok()) {
    return wrong(absl::StrCat(" that this program reads, without look-around and back references (",
                              pattern.whole_->error(), ")"));
  }
  return pattern;
}

bool ModulePattern::FitsAll(std::string_view name) const {
  if (whole_ == nullptr) return Fits(plain_, name);
  return name.size() <= kLongestName &&
         RE2::FullMatch(re2::StringPiece(name.data(), name.size()), *whole_);
}

bool ModulePattern::FitsEnd(std::string_view name) const {
  if (end_ != nullptr) {
    return name.size() <= kLongestName &&
           RE2::FullMatch(re2::StringPiece(name.data(), name.size()), *end_);
  }
  if (anchored_ || plain_.size() >= name.size()) return Fits(plain_, name);
  const size_t begin = name.size() - plain_.size();
  return name[begin - 1] == '.' && Fits(plain_, name.substr(begin));
}

}  // namespace merganser
