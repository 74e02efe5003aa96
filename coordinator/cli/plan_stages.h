// The stages of a recipe of several documents, before any of them is merged.
#ifndef MERGANSER_COORDINATOR_CLI_PLAN_STAGES_H_
#define MERGANSER_COORDINATOR_CLI_PLAN_STAGES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/plan/plan_text.h"
#include "common/prepare/prepare.h"
#include "common/recipe/stages.h"
#include "common/storage/stores.h"

namespace merganser::cli {

// All that is wrong and can be known before the first stage is merged.
absl::Status CheckStages(const RecipeStages& stages, const std::vector<std::string>& directories,
                         const Stores& stores, const StageContext& context);

// What `merganser plan` says of such a file: the plans of stages that need no other. `recipe` is
// the file and `text` what it holds.
absl::StatusOr<std::string> PlanStages(const Stores& stores, const std::string& recipe,
                                       const std::string& text, bool json,
                                       const PlanTextOptions& options);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_PLAN_STAGES_H_
