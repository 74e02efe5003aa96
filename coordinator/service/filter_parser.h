// The grammar of filters: AIP-160 without functions and without composite values.
//
//   expression   sequence { "AND" sequence }
//   sequence     factor { factor }                 all of them
//   factor       term { "OR" term }                OR binds closer than AND
//   term         [ "NOT" | "-" ] simple
//   simple       restriction | "(" expression ")"
//   restriction  text | field comparator value
//   comparator   "=" "!=" "<" "<=" ">" ">=" ":"
//
// A text or value is a run of characters, or stands in quotes of either kind, in which a backslash
// makes the next character an ordinary one. An unquoted text ends at spaces, parentheses, quotes
// and comparators; an unquoted value may hold comparators, but not begin with one.
#ifndef MERGANSER_COORDINATOR_SERVICE_FILTER_PARSER_H_
#define MERGANSER_COORDINATOR_SERVICE_FILTER_PARSER_H_

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/service/filter_tree.h"

namespace merganser {

inline constexpr size_t kMaxFilterBytes = 2048;
inline constexpr int kMaxFilterNesting = 32;

// kInvalidArgument (FILTER_INVALID) says where and what was found. `text` is not all spaces.
absl::StatusOr<FilterNode> ParseFilter(std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_FILTER_PARSER_H_
