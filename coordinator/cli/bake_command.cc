// `merganser bake`: base and adapter written as one full model, which is a merge of one.
#include <CLI/CLI.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "common/format/text.h"
#include "coordinator/cli/embedded_executor.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/lora_commands.h"
#include "coordinator/cli/merge_run.h"

namespace merganser::cli {
namespace {

// What errors call the recipe.
constexpr char kSource[] = "bake";

absl::StatusOr<std::string> RecipeFor(const BakeFlags& flags) {
  std::string model = flags.model;
  for (const std::string& lora : flags.loras) absl::StrAppend(&model, "+", lora);
  if (FirstInvalidUtf8(model).has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", OneLine(model), ", expected names in UTF-8"));
  }
  std::string text = "merge_method: passthrough\n";
  if (!flags.out_dtype.empty()) {
    absl::StrAppend(&text, "out_dtype: ", flags.out_dtype, "\n");
  }
  absl::StrAppend(&text, "models:\n  - model: ");
  AppendJsonString(model, text);  // which YAML reads as what it is
  return text + "\n";
}

}  // namespace

void AddBakeFlags(CLI::App& command, BakeFlags& flags, MergeFlags& merge) {
  command.add_option("MODEL", flags.model, "BASE+ADAPTER, or BASE and --lora")->required();
  command.add_option("OUT", merge.output, "Folder or URI of the full model")->required();
  command.add_option("--lora", flags.loras,
                     "ADAPTER, or ADAPTER:WEIGHT; given again, they are added in this order");
  command
      .add_option("--out-dtype", flags.out_dtype,
                  "Of the full model (default: the base's, tensor "
                  "by tensor)")
      ->check(CLI::IsMember({"float64", "float32", "float16", "bfloat16"}));
  AddMergeRunFlags(command, merge);
}

int RunBake(const BakeFlags& flags, const MergeFlags& merge, InterruptWatcher& interrupts) {
  const absl::StatusOr<std::string> recipe = RecipeFor(flags);
  if (!recipe.ok()) return Fail(recipe.status(), Phase::kPlanning);
  MergeFlags run = merge;
  run.recipe = kSource;
  const StageRun made = {*recipe, {{}, *recipe}};
  EmbeddedExecutor executor(run.threads);
  return MergeWith(executor, run, interrupts, &made);
}

}  // namespace merganser::cli
