// `merganser plan`: what a merge would do; nothing is written.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/status.h"
#include "common/engine/overlap.h"
#include "common/plan/pieces.h"
#include "common/plan/plan_text.h"
#include "common/plan/requests.h"
#include "common/prepare/prepare.h"
#include "common/publish/low_rank.h"
#include "common/recipe/stages.h"
#include "common/storage/stores.h"
#include "common/storage/uri.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/plan_stages.h"
#include "coordinator/cli/store_flags.h"

namespace merganser::cli {
namespace {

struct PlanFlags {
  std::string recipe;
  std::string output;  // empty, or where the merge would go: also what it would ask of that storage
  bool json = false;
  PlanTextOptions text;
  StoreOptions storage;
};

// Nothing is looked up at the output.
absl::StatusOr<std::string> PlanFor(const Stores& stores, const PlanFlags& flags) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string text, ReadRecipeFile(flags.recipe));
  if (CountDocuments(text) > 1) {
    return PlanStages(stores, flags.recipe, text, flags.json, flags.text);
  }
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

int Run(const PlanFlags& flags) {
  const absl::StatusOr<std::string> out = PlanFor(Stores(flags.storage), flags);
  if (!out.ok()) return Fail(out.status(), Phase::kPlanning);
  std::fputs(out->c_str(), stdout);
  return kDone;
}

}  // namespace

void AddPlan(Commands& commands) {
  const auto flags = std::make_shared<PlanFlags>();
  CLI::App& command = commands.Add("plan", "Show what a merge would do; nothing is written",
                                   [flags] { return Run(*flags); });
  command.add_option("RECIPE", flags->recipe, "Recipe (YAML)")->required();
  command.add_option("OUTPUT", flags->output,
                     "Folder or URI that the merge would go to: shows what it would ask of it");
  CLI::Option* json = command.add_flag("--json", flags->json, "Print JSON");
  command.add_flag("--tensors", flags->text.tensors, "Also list all tensors")->excludes(json);
  AddReadRate(command, flags->text.read_rate);
  AddStoreFlags(command, flags->storage);
}

}  // namespace merganser::cli
