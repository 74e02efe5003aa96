// How far apart two words are, for "did you mean".
#ifndef MERGANSER_COMMON_BASE_EDIT_DISTANCE_H_
#define MERGANSER_COMMON_BASE_EDIT_DISTANCE_H_

#include <cstddef>
#include <string_view>

namespace merganser {

// Levenshtein's distance: the fewest bytes inserted, deleted or substituted that
// turn `a` into `b`. Time grows with the product of the lengths: callers bound
// what comes from outside.
size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_EDIT_DISTANCE_H_
