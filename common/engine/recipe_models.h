// The models that a recipe names: where they are looked for, and what is opened of them.
#ifndef MERGANSER_COMMON_ENGINE_RECIPE_MODELS_H_
#define MERGANSER_COMMON_ENGINE_RECIPE_MODELS_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/recipe/recipe.h"
#include "common/storage/roots.h"
#include "common/storage/stores.h"

namespace merganser {

// The models of a recipe by name, each resolved once, however often it is named. `directories` are
// those of PrepareMerge; `outputs`, unless null, says where models are that other stages make, by
// their names. These and `stores` must outlive it. Not thread-safe.
class RecipeModels {
 public:
  RecipeModels(const std::vector<std::string>& directories, const Stores& stores,
               const std::map<std::string, std::string>* outputs)
      : directories_(directories), stores_(stores), outputs_(outputs) {}

  // What two names of one model have in common: its URI, or the name where it is not found.
  std::string Canonical(const std::string& model);

  absl::StatusOr<std::shared_ptr<const Checkpoint>> Open(const std::string& model);
  // No more than its small files.
  absl::StatusOr<std::shared_ptr<const Checkpoint>> OpenSmall(const std::string& model);

 private:
  const absl::StatusOr<std::string>& Resolve(const std::string& model);

  const std::vector<std::string>& directories_;
  const Stores& stores_;
  const std::map<std::string, std::string>* const outputs_;
  std::map<std::string, absl::StatusOr<std::string>> resolutions_;
};

// Every model of the recipe, also those that take no part.
std::vector<std::string> NamedModels(const Recipe& recipe);

// kPermissionDenied, with the model's name, when a model of `recipe` lies outside of
// `roots`. What else may be wrong with it is left to PrepareMerge.
absl::Status CheckModelRoots(const Recipe& recipe, const std::vector<std::string>& directories,
                             const AllowedRoots& roots);

// Where in file systems PrepareMerge may look for models; none of a recipe that is wrong.
std::vector<std::string> ModelPaths(std::string_view recipe_text, std::string_view source_name,
                                    const std::vector<std::string>& directories);

// The directories for a recipe file: the current one and the file's own, absolute.
std::vector<std::string> RecipeDirectories(const std::string& recipe_path);

// Reads a recipe file (at most kMaxRecipeBytes) through no store: it is local.
absl::StatusOr<std::string> ReadRecipeFile(const std::string& path);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_RECIPE_MODELS_H_
