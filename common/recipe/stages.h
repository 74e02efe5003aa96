// The documents of one file, as mergekit-multi has them: recipes whose models are outputs of
// others.
#ifndef MERGANSER_COMMON_RECIPE_STAGES_H_
#define MERGANSER_COMMON_RECIPE_STAGES_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/recipe/recipe.h"

namespace merganser {

struct RecipeStage {
  std::string name;  // empty: the one whose output is the file's
  std::string text;  // the document, behind as many line ends as lines stand before it
  Recipe recipe;     // whose `text` is the document alone
  std::vector<std::string> needs;  // names of stages that are its models
};

struct RecipeStages {
  // Each after those that it needs, else in the file's order; the last one gives the output.
  std::vector<RecipeStage> stages;
  std::vector<std::string>
      warnings;  // stages that the last one does not need, and that are left out
};

// The number of documents of `text` that hold anything; none is looked into.
size_t CountDocuments(std::string_view text);

// The stages of a file of several documents. kInvalidArgument, "SOURCE:LINE: ...", for a document
// that is no recipe, names that repeat or are no name of a folder, stages that need each other in a
// circle, and where it is not clear which stage is the last: more than one without a name, or
// several that no other needs.
absl::StatusOr<RecipeStages> ReadStages(std::string_view text, std::string_view source_name);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_STAGES_H_
