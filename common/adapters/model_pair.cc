#include "common/adapters/model_pair.h"

#include <utility>

#include "common/base/status.h"
#include "common/prepare/recipe_models.h"
#include "common/recipe/recipe.h"

namespace merganser {

absl::StatusOr<ModelPair> OpenModelPair(const ModelRef& base, const std::string& model,
                                        const Stores& stores) {
  const std::vector<std::string> directories = RecipeDirectories("");
  Recipe recipe;
  const std::string name = ModelRefText(base);
  if (!base.adapters.empty()) recipe.adapted.emplace(name, base);
  RecipeModels models(recipe, directories, stores, nullptr);
  ModelPair pair;
  MERGANSER_ASSIGN_OR_RETURN(pair.base, models.Open(name));
  MERGANSER_ASSIGN_OR_RETURN(pair.model, models.Open(model));
  AlignOptions options;
  options.is_base = true;
  MERGANSER_ASSIGN_OR_RETURN(pair.alignment,
                             AlignModels({pair.base.get(), pair.model.get()}, {}, options));
  for (const Checkpoint* opened : {pair.base.get(), pair.model.get()}) {
    pair.warnings.insert(pair.warnings.end(), opened->warnings.begin(), opened->warnings.end());
  }
  pair.warnings.insert(pair.warnings.end(), pair.alignment.warnings.begin(),
                       pair.alignment.warnings.end());
  return pair;
}

}  // namespace merganser
