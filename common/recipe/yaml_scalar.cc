#include "common/recipe/yaml_scalar.h"

#include <charconv>
#include <initializer_list>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr size_t kShownBytes = 80;

bool IsAny(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

size_t Digits(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
  return n;
}

// [0-9]+(\.[0-9]*)? or \.[0-9]+, then an optional exponent.
bool IsUnsignedDecimal(std::string_view text) {
  const size_t whole = Digits(text);
  text.remove_prefix(whole);
  size_t fraction = 0;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = Digits(text);
    text.remove_prefix(fraction);
  }
  if (whole + fraction == 0) return false;
  if (text.empty()) return true;
  if (text[0] != 'e' && text[0] != 'E') return false;
  text.remove_prefix(1);
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && Digits(text) == text.size();
}

}  // namespace

absl::StatusOr<std::variant<bool, double, std::string>> ReadScalar(const YamlNode& node) {
  using Value = std::variant<bool, double, std::string>;
  if (!node.plain) return Value(node.text);
  const std::string_view text = node.text;
  if (IsAny(text, {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})) {
    return Value(true);
  }
  if (IsAny(text, {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})) {
    return Value(false);
  }
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  if (IsAny(digits, {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"})) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", DescribeNode(node), ", expected a finite number"));
  }
  if (!IsUnsignedDecimal(digits)) return Value(node.text);
  if (digits.size() > 1 && digits[0] == '0' && Digits(digits) == digits.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", DescribeNode(node),
                     ", expected a number without leading zeros (YAML 1.1 reads it as octal)"));
  }
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ec != std::errc()) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", DescribeNode(node), ", expected a number in the range of float64"));
  }
  return Value(negative ? -value : value);
}

std::string DescribeNode(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
    case YamlNode::Kind::kScalar:
      break;
  }
  std::string shown = OneLine(std::string_view(node.text).substr(0, kShownBytes));
  if (node.text.size() > kShownBytes) shown += "...";
  std::string_view digits = node.text;
  if (digits.starts_with('-') || digits.starts_with('+')) digits.remove_prefix(1);
  const bool bare =
      node.plain && (IsUnsignedDecimal(digits) || IsAny(node.text, {"true", "false"}));
  return bare ? shown : absl::StrCat("\"", shown, "\"");
}

}  // namespace merganser
