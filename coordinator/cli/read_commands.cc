// Commands that only read: plan, inspect.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/engine/overlap.h"
#include "common/plan/pieces.h"
#include "common/plan/plan_text.h"
#include "common/plan/requests.h"
#include "common/prepare/prepare.h"
#include "common/publish/inspect.h"
#include "common/publish/low_rank.h"
#include "common/recipe/stages.h"
#include "common/storage/stores.h"
#include "common/storage/uri.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/merge_stages.h"

namespace merganser::cli {
namespace {

// Nothing is looked up at the output.
absl::StatusOr<std::string> PlanFor(const Stores& stores, const PlanFlags& flags) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string text, ReadRecipeFile(flags.recipe));
  if (CountDocuments(text) > 1) return PlanStages(stores, flags, text);
  const std::vector<std::string> directories = RecipeDirectories(flags.recipe);
  StoreTraits traits;
  std::string output_uri;
  if (!flags.output.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(Uri uri, ParseUri(flags.output));
    MERGANSER_ASSIGN_OR_RETURN(uri, Absolute(uri, directories.front()));
    output_uri = uri.ToString();
    MERGANSER_ASSIGN_OR_RETURN(traits, stores.TraitsOf(output_uri));
    if (const absl::Status able = CheckOutputTraits(traits); !able.ok()) {
      return Annotate(able, OneLine(output_uri));
    }
  }
  MERGANSER_ASSIGN_OR_RETURN(PreparedMerge prepared,
                             PrepareMerge(text, flags.recipe, directories, stores, traits));
  for (std::string& warning : LowRankExperts(prepared.plan, stores)) {
    prepared.plan.warnings.push_back(std::move(warning));
  }
  const Plan& plan = prepared.plan;
  if (!flags.output.empty()) {
    MERGANSER_RETURN_IF_ERROR(CheckApart(output_uri, plan.models));
    MERGANSER_RETURN_IF_ERROR(CheckPlacesApart(stores, output_uri, plan.models));
  }
  std::vector<StoreTraits> inputs;
  for (const PlannedModel& model : plan.models) {
    MERGANSER_ASSIGN_OR_RETURN(inputs.emplace_back(), stores.TraitsOf(model.uri));
  }
  const StorageRequests requests = CountRequests(plan, inputs);
  return flags.json ? PlanJson(plan, requests) : PlanText(plan, requests, flags.text);
}

}  // namespace

int RunPlan(const Stores& stores, const PlanFlags& flags) {
  absl::StatusOr<std::string> out = PlanFor(stores, flags);
  if (!out.ok()) return Fail(out.status(), Phase::kPlanning);
  std::fputs(out->c_str(), stdout);
  return kDone;
}

int RunInspect(const Stores& stores, const std::string& checkpoint, bool json) {
  const absl::StatusOr<std::string> uri = ResolveModel(checkpoint, RecipeDirectories("").front());
  if (!uri.ok()) return Fail(uri.status(), Phase::kPlanning);
  const absl::StatusOr<Checkpoint> opened = OpenCheckpoint(*uri, checkpoint, stores);
  if (!opened.ok()) return Fail(opened.status(), Phase::kPlanning);
  for (const std::string& warning : opened->warnings) {
    std::fprintf(stderr, "warning: %s\n", OneLine(warning).c_str());
  }
  const std::string out = json ? InspectJson(*opened) : InspectText(*opened);
  std::fputs(out.c_str(), stdout);
  return kDone;
}

}  // namespace merganser::cli
