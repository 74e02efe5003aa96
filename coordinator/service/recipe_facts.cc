#include "coordinator/service/recipe_facts.h"

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/shown.h"
#include "common/recipe/recipe.h"
#include "coordinator/service/job_limits.h"

namespace merganser {

void SetRecipeFacts(std::string_view recipe, JobInfo& info) {
  info.method.clear();
  info.models.clear();
  const absl::StatusOr<Recipe> parsed = ParseRecipe(recipe, info.request.source_name);
  if (!parsed.ok()) return;
  info.method = Cut(parsed->merge_method, kMaxMethodText);
  std::set<std::string> seen;
  const auto add = [&](const std::string& model) {
    if (info.models.size() == kMaxModels || !seen.insert(model).second) return;
    info.models.push_back(Cut(model, kMaxModelText));
  };
  if (parsed->base_model.has_value()) add(*parsed->base_model);
  for (const RecipeModel& model : parsed->models) add(model.model);
  for (const RecipeSlice& slice : parsed->slices) {
    for (const RecipeSource& source : slice.sources) add(source.model);
  }
}

}  // namespace merganser
