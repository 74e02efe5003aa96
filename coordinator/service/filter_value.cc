#include "coordinator/service/filter_value.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "coordinator/service/requests.h"

namespace merganser {
namespace {

constexpr std::array<std::string_view, 13> kNames = {
    "state",    "owner", "display_name", "method",     "models",      "output_uri", "recipe_source",
    "priority", "name",  "create_time",  "start_time", "finish_time", "labels.KEY"};

std::string Quoted(std::string_view text) { return absl::StrCat("\"", Shown(text), "\""); }

absl::Status Invalid(size_t at, std::string_view found, std::string_view expected) {
  return SyntaxError(kFilterInvalid, "filter", at, found, expected);
}

// RFC 3339, such as 2026-01-31T23:59:59.5+01:00, within what WallTime holds.
std::optional<WallTime> ParseTime(const std::string& text) {
  constexpr char kForm[] = "0000-00-00T00:00:00";
  if (text.size() < sizeof(kForm)) return std::nullopt;  // a zone behind it, too
  for (size_t i = 0; i + 1 < sizeof(kForm); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == '0' ? !digit : text[i] != kForm[i]) return std::nullopt;
  }
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return std::nullopt;
  // Years that 64 bits of nanoseconds hold.
  if (time < absl::FromUnixSeconds(INT64_MIN / 1'000'000'000 + 1) ||
      time > absl::FromUnixSeconds(INT64_MAX / 1'000'000'000 - 1)) {
    return std::nullopt;
  }
  return WallTime(std::chrono::nanoseconds(absl::ToUnixNanos(time)));
}

absl::Status SetState(const FilterValue& value, FilterTest& test) {
  std::vector<std::string_view> names;
  for (size_t i = 0; i < kJobStates; ++i) {
    names.push_back(JobStateName(static_cast<JobState>(i)));
    if (names.back() != value.text) continue;
    test.state = static_cast<JobState>(i);
    return absl::OkStatus();
  }
  return Invalid(value.at, Quoted(value.text),
                 absl::StrCat("a state", KnownHere(value.text, names)));
}

absl::Status SetPriority(const FilterValue& value, FilterTest& test) {
  const char* const end = value.text.data() + value.text.size();
  const auto [rest, error] = std::from_chars(value.text.data(), end, test.number);
  if (error == std::errc() && rest == end) return absl::OkStatus();
  return Invalid(value.at, Quoted(value.text), "a whole number");
}

absl::Status SetTime(const FilterValue& value, FilterTest& test) {
  const std::optional<WallTime> time = ParseTime(value.text);
  if (!time.has_value()) {
    return Invalid(value.at, Quoted(value.text),
                   "a time as RFC 3339 has it, such as 2026-01-31T23:59:59Z");
  }
  test.time = *time;
  return absl::OkStatus();
}

void SetText(const FilterValue& value, FilterTest& test) {
  std::string_view text = value.text;
  // Of what is looked for anywhere, stars at the ends say nothing more.
  if (test.comparator == Comparator::kEqual || test.comparator == Comparator::kNotEqual ||
      test.comparator == Comparator::kHas) {
    test.any_before = value.star_first;
    test.any_behind = value.star_last;
    if (value.star_first) text.remove_prefix(1);
    if (value.star_last && !text.empty()) text.remove_suffix(1);
  }
  test.text = test.comparator == Comparator::kHas ? SmallLetters(text) : std::string(text);
}

// What a field's comparators are.
absl::Status CheckComparator(std::string_view name, size_t at, const FilterTest& test,
                             const FilterValue& value) {
  const bool has = test.comparator == Comparator::kHas;
  const bool equal = test.comparator <= Comparator::kNotEqual;
  const auto refuse = [&](std::string_view expected) {
    return Invalid(at,
                   absl::StrCat(std::string(name), " with '",
                                std::string(ComparatorText(test.comparator)), "'"),
                   expected);
  };
  switch (test.field) {
    case JobField::kState:
      return equal || has ? absl::OkStatus() : refuse("'=' or '!='");
    case JobField::kModels:
      return has ? absl::OkStatus() : refuse("':'");
    case JobField::kPriority:
      return has ? refuse("'=', '!=', '<', '<=', '>' or '>='") : absl::OkStatus();
    case JobField::kCreateTime:
    case JobField::kStartTime:
    case JobField::kFinishTime:
      if (!has || test.anything) return absl::OkStatus();
      return refuse("'=', '!=', '<', '<=', '>', '>=', or ':*' for any time");
    case JobField::kLabels:
      if (!test.label.empty()) return absl::OkStatus();
      if (!has) return refuse("labels:KEY, or labels.KEY and a comparator");
      if (test.anything || IsLabelKey(value.text)) return absl::OkStatus();
      return Invalid(value.at, Quoted(value.text), "the key of a label");
    default:
      return absl::OkStatus();
  }
}

}  // namespace

std::string SmallLetters(std::string_view text) {
  std::string small(text);
  for (char& c : small) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return small;
}

std::string_view ComparatorText(Comparator comparator) {
  switch (comparator) {
    case Comparator::kEqual:
      return "=";
    case Comparator::kNotEqual:
      return "!=";
    case Comparator::kLess:
      return "<";
    case Comparator::kAtMost:
      return "<=";
    case Comparator::kMore:
      return ">";
    case Comparator::kAtLeast:
      return ">=";
    case Comparator::kHas:
      return ":";
  }
  return "";
}

absl::StatusOr<FilterTest> MakeFilterTest(std::string_view name, size_t at, Comparator comparator,
                                          const FilterValue& value) {
  constexpr std::string_view kLabelPrefix = "labels.";
  FilterTest test;
  test.comparator = comparator;
  test.anything = comparator == Comparator::kHas && value.star_first && value.text == "*";
  std::optional<JobField> field = JobFieldNamed(name);
  if (name.substr(0, kLabelPrefix.size()) == kLabelPrefix) {
    field = JobField::kLabels;
    test.label = name.substr(kLabelPrefix.size());
    if (!IsLabelKey(test.label)) {
      return Invalid(at + kLabelPrefix.size(), Quoted(test.label), "the key of a label");
    }
  }
  if (!field.has_value()) {
    return Invalid(
        at, Quoted(name),
        absl::StrCat("a field, or \"...\" around a text to look for", KnownHere(name, kNames)));
  }
  test.field = *field;
  MERGANSER_RETURN_IF_ERROR(CheckComparator(name, at, test, value));
  if (test.anything) return test;
  switch (test.field) {
    case JobField::kState:
      MERGANSER_RETURN_IF_ERROR(SetState(value, test));
      break;
    case JobField::kPriority:
      MERGANSER_RETURN_IF_ERROR(SetPriority(value, test));
      break;
    case JobField::kCreateTime:
    case JobField::kStartTime:
    case JobField::kFinishTime:
      MERGANSER_RETURN_IF_ERROR(SetTime(value, test));
      break;
    default:
      SetText(value, test);
  }
  return test;
}

}  // namespace merganser
