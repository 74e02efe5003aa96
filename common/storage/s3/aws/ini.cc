#include "common/storage/s3/aws/ini.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser::s3 {
namespace {

std::string Stripped(std::string_view text) {
  return std::string(absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size())));
}

std::string Lower(std::string_view text) { return absl::AsciiStrToLower(Stripped(text)); }

bool Blank(char c) { return c == ' ' || c == '\t'; }

// `value` up to a comment behind it.
std::string_view WithoutComment(std::string_view value) {
  for (size_t i = 1; i < value.size(); ++i) {
    if ((value[i] == '#' || value[i] == ';') && Blank(value[i - 1])) return value.substr(0, i);
  }
  return value;
}

// "key = value", both stripped.
std::optional<std::pair<std::string, std::string>> Property(std::string_view line) {
  const size_t at = line.find_first_of("=:");
  if (at == std::string_view::npos) return std::nullopt;
  std::string key = Lower(line.substr(0, at));
  if (key.empty()) return std::nullopt;
  // A command may have any character.
  const std::string_view value = line.substr(at + 1);
  const bool command = key == "credential_process";
  return std::pair(std::move(key), Stripped(command ? value : WithoutComment(value)));
}

class Parser {
 public:
  absl::Status Line(std::string_view line) {
    ++number_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string stripped = Stripped(line);
    if (stripped.empty() || stripped.front() == '#' || stripped.front() == ';') {
      return absl::OkStatus();
    }
    if (Blank(line.front()) && !key_.empty()) return GoOn(stripped);
    if (stripped.front() == '[') return Section(stripped);
    if (section_ == nullptr) return Refused("found a setting before the first [section]");
    auto property = Property(stripped);
    if (!property.has_value()) return Refused("expected KEY = VALUE or [SECTION]");
    key_ = property->first;
    (*section_)[key_] = std::move(property->second);
    return absl::OkStatus();
  }

  IniFile Take() { return std::move(file_); }

 private:
  absl::Status Refused(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", number_, ": ", std::string(what)));
  }

  absl::Status Section(std::string_view line) {
    const size_t end = line.find(']');
    const std::string name = end == std::string_view::npos ? "" : Stripped(line.substr(1, end - 1));
    if (name.empty()) return Refused("expected [SECTION]");
    section_ = &file_[name];
    key_.clear();
    return absl::OkStatus();
  }

  absl::Status GoOn(const std::string& line) {
    std::string& value = (*section_)[key_];
    if (!value.empty()) {
      absl::StrAppend(&value, "\n", line);
      return absl::OkStatus();
    }
    auto property = Property(line);
    if (!property.has_value()) return Refused("expected KEY = VALUE in a nested block");
    (*section_)[absl::StrCat(key_, ".", property->first)] = std::move(property->second);
    return absl::OkStatus();
  }

  IniFile file_;
  IniSection* section_ = nullptr;
  std::string key_;  // whose value an indented line goes on with
  size_t number_ = 0;
};

}  // namespace

absl::StatusOr<IniFile> ParseIni(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  Parser parser;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    MERGANSER_RETURN_IF_ERROR(parser.Line(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parser.Take();
}

}  // namespace merganser::s3
