#include "coordinator/cli/plan_stages.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/methods/registry.h"
#include "common/plan/requests.h"

namespace merganser::cli {

absl::Status CheckStages(const RecipeStages& stages, const std::vector<std::string>& directories,
                         const Stores& stores, const StageContext& context) {
  for (const RecipeStage& stage : stages.stages) {
    MERGANSER_RETURN_IF_ERROR(CheckMethod(stage.recipe));
    MERGANSER_RETURN_IF_ERROR(CheckStageModels(stage.recipe, directories, stores, context));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PlanStages(const Stores& stores, const std::string& recipe,
                                       const std::string& text, bool json,
                                       const PlanTextOptions& options) {
  const std::vector<std::string> directories = RecipeDirectories(recipe);
  MERGANSER_ASSIGN_OR_RETURN(const RecipeStages stages, ReadStages(text, recipe));
  StageContext context;
  for (const RecipeStage& stage : stages.stages) {
    // Where it would be is no matter: it is not opened.
    if (!stage.name.empty()) context.outputs[stage.name] = absl::StrCat("/", stage.name);
  }
  MERGANSER_RETURN_IF_ERROR(CheckStages(stages, directories, stores, context));
  if (json) {
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(recipe),
                     ": found several documents, expected one with --json: what a stage "
                     "comes to is known when those that it needs are merged"));
  }
  std::string out;
  for (const RecipeStage& stage : stages.stages) {
    absl::StrAppend(&out, out.empty() ? "" : "\n", "stage        ",
                    stage.name.empty() ? "the output" : Shown(stage.name), "\n");
    if (!stage.needs.empty()) {
      absl::StrAppend(&out, "planned      when ", absl::StrJoin(stage.needs, ", "),
                      stage.needs.size() == 1 ? " is" : " are", " merged\n");
      continue;
    }
    context.recipe_text = stage.recipe.text;
    MERGANSER_ASSIGN_OR_RETURN(
        const PreparedMerge prepared,
        PrepareMerge(stage.text, recipe, directories, stores, StoreTraits(), &context));
    std::vector<StoreTraits> inputs;
    for (const PlannedModel& model : prepared.plan.models) {
      MERGANSER_ASSIGN_OR_RETURN(inputs.emplace_back(), stores.TraitsOf(model.uri));
    }
    absl::StrAppend(&out, PlanText(prepared.plan, CountRequests(prepared.plan, inputs), options));
  }
  for (const std::string& warning : stages.warnings) {
    absl::StrAppend(&out, "warning: ", OneLine(warning), "\n");
  }
  return out;
}

}  // namespace merganser::cli
