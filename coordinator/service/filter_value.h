// A field, a comparator and a value of a filter, and whether they go together. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_FILTER_VALUE_H_
#define MERGANSER_COORDINATOR_SERVICE_FILTER_VALUE_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/service/filter_tree.h"

namespace merganser {

// A value as it stands in a filter.
struct FilterValue {
  std::string text;  // without quotes and backslashes
  size_t at = 0;     // where it begins
  // Whether its first and last characters are wildcards.
  bool star_first = false;
  bool star_last = false;
};

// `field` as it stands at `at`, such as "labels.team". kInvalidArgument (FILTER_INVALID) where
// there is no such field, it has no such comparator, or the value is not of its type.
absl::StatusOr<FilterTest> MakeFilterTest(std::string_view field, size_t at, Comparator comparator,
                                          const FilterValue& value);

// `text` with small letters in place of capitals, of ASCII alone.
std::string SmallLetters(std::string_view text);

// "=" and so on.
std::string_view ComparatorText(Comparator comparator);

inline constexpr char kFilterInvalid[] = "FILTER_INVALID";

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_FILTER_VALUE_H_
