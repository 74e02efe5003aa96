// Where in a recipe an error is, for programs; its message says it to people.
#ifndef MERGANSER_COMMON_RECIPE_RECIPE_PLACE_H_
#define MERGANSER_COMMON_RECIPE_RECIPE_PLACE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace merganser {

struct RecipePlace {
  int line = 0;     // from 1; 0: not known
  std::string key;  // "parameters.rank_topk"; empty: not known

  bool operator==(const RecipePlace&) const = default;
};

// The same error with its place as payload, which Annotate keeps.
absl::Status WithPlace(absl::Status status, int line, std::string_view key);
// What WithPlace was told, the last time.
RecipePlace PlaceOf(const absl::Status& status);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_RECIPE_PLACE_H_
