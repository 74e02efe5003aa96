// The models that a recipe names: where they are looked for, and what is opened of them.
#ifndef MERGANSER_COMMON_PREPARE_RECIPE_MODELS_H_
#define MERGANSER_COMMON_PREPARE_RECIPE_MODELS_H_

#include <cstddef>
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
// their names. These, `recipe` and `stores` must outlive it. Not thread-safe.
//
// A name may stand for a model with adapters (Recipe::adapted), and the folder of an adapter for
// its base with it: the recipe's base_model, or, where the recipe has none or it is that very
// adapter, the one that adapter_config.json names.
class RecipeModels {
 public:
  RecipeModels(const Recipe& recipe, const std::vector<std::string>& directories,
               const Stores& stores, const std::map<std::string, std::string>* outputs)
      : recipe_(recipe), directories_(directories), stores_(stores), outputs_(outputs) {}

  // What two names of one model have in common: its URI (with adapters: that of the base, then
  // each adapter's, with its weight), or the name where it is not found.
  std::string Canonical(const std::string& model);

  absl::StatusOr<std::shared_ptr<const Checkpoint>> Open(const std::string& model);
  // No more than its small files; with adapters those of the base.
  absl::StatusOr<std::shared_ptr<const Checkpoint>> OpenSmall(const std::string& model);

  // Whether the model is, or is made of, one that another stage makes.
  bool NeedsOutput(const std::string& model);

 private:
  // A model and what is added to it, every name resolved.
  struct Composition {
    std::string base;  // URI
    std::string base_given;
    struct Part {
      std::string uri, given;
      double weight = 1;
    };
    std::vector<Part> adapters;
    // The adapter whose adapter_config.json named `base`; empty where the recipe does.
    std::string named_by;
  };

  const absl::StatusOr<std::string>& Resolve(const std::string& model);
  // The parts of `model` as the recipe has them.
  ModelRef PartsOf(const std::string& model);
  bool IsFolderHere(const std::string& model) const;
  absl::StatusOr<bool> IsAdapter(const std::string& uri);
  // `look`: whether the base of it is looked at, for it may be an adapter's folder itself.
  absl::StatusOr<Composition> Compose(const std::string& model, bool look);
  // What the adapter at `uri`, which `model` names alone, is on.
  absl::StatusOr<Composition> BaseOf(const std::string& uri, const std::string& model);
  absl::StatusOr<std::shared_ptr<const Checkpoint>> OpenPlain(const std::string& uri,
                                                              const std::string& given);
  absl::StatusOr<std::shared_ptr<const Checkpoint>> OpenAdapted(const Composition& composition,
                                                                const std::string& given);

  const Recipe& recipe_;
  const std::vector<std::string>& directories_;
  const Stores& stores_;
  const std::map<std::string, std::string>* const outputs_;
  std::map<std::string, absl::StatusOr<std::string>> resolutions_;
  std::map<std::string, std::shared_ptr<const Checkpoint>> opened_;  // by URI, without adapters
  std::map<std::string, bool> adapters_;                             // by URI
  size_t depth_ = 0;                                                 // of adapters on adapters
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

#endif  // MERGANSER_COMMON_PREPARE_RECIPE_MODELS_H_
