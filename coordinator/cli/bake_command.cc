// `merganser bake`: base and adapter written as one full model, which is a merge of one.
#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "common/format/text.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/embedded_executor.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/merge_flags.h"
#include "coordinator/cli/merge_run.h"

namespace merganser::cli {
namespace {

// What errors call the recipe.
constexpr char kSource[] = "bake";

struct BakeFlags {
  std::string model;               // base, or base+adapter
  std::vector<std::string> loras;  // ADAPTER or ADAPTER:WEIGHT
  std::string out_dtype;           // empty: the base's own
  std::string lora_dtype;          // empty: products are not rounded before they are added
  MergeFlags merge;                // whose recipe is made of these
};

// "ADAPTER" or "ADAPTER:WEIGHT" as an entry of a recipe's `lora`.
absl::StatusOr<std::string> AdapterEntry(const std::string& lora) {
  std::string path = lora;
  double weight = 1;
  const size_t colon = lora.rfind(':');
  if (colon != std::string::npos && absl::SimpleAtod(lora.substr(colon + 1), &weight)) {
    path = lora.substr(0, colon);
  } else {
    weight = 1;
  }
  if (path.empty() || !std::isfinite(weight)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--lora: found ", Shown(lora), ", expected ADAPTER or ADAPTER:WEIGHT, such as lora:0.5"));
  }
  std::string text = "{path: ";
  AppendJsonString(path, text);
  absl::StrAppend(&text, ", weight: ", Formatted("%.17g", weight), "}");
  return text;
}

absl::StatusOr<std::string> RecipeFor(const BakeFlags& flags) {
  std::string all = flags.model;
  for (const std::string& lora : flags.loras) absl::StrAppend(&all, " ", lora);
  if (FirstInvalidUtf8(all).has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", Shown(all), ", expected names in UTF-8"));
  }
  std::string text = "merge_method: passthrough\n";
  if (!flags.out_dtype.empty()) {
    absl::StrAppend(&text, "out_dtype: ", flags.out_dtype, "\n");
  }
  if (!flags.lora_dtype.empty()) {
    absl::StrAppend(&text, "lora_dtype: ", flags.lora_dtype, "\n");
  }
  absl::StrAppend(&text, "models:\n  - model: ");
  if (flags.loras.empty()) {
    AppendJsonString(flags.model, text);  // which YAML reads as what it is
    return text + "\n";
  }
  absl::StrAppend(&text, "\n      model: ");
  AppendJsonString(flags.model, text);
  absl::StrAppend(&text, "\n      lora:\n");
  for (const std::string& lora : flags.loras) {
    MERGANSER_ASSIGN_OR_RETURN(const std::string entry, AdapterEntry(lora));
    absl::StrAppend(&text, "        - ", entry, "\n");
  }
  return text;
}

void AddFlags(CLI::App& command, BakeFlags& flags) {
  command.add_option("MODEL", flags.model, "BASE+ADAPTER, or BASE and --lora")->required();
  command.add_option("OUT", flags.merge.output, "Folder or URI of the full model")->required();
  command
      .add_option("--lora", flags.loras,
                  "ADAPTER, or ADAPTER:WEIGHT; given again, they are added in this order")
      ->allow_extra_args(false);
  command
      .add_option("--out-dtype", flags.out_dtype,
                  "Of the full model (default: the base's, tensor "
                  "by tensor)")
      ->check(CLI::IsMember({"float64", "float32", "float16", "bfloat16", "source"}));
  command
      .add_option(
          "--lora-dtype", flags.lora_dtype,
          "That the adapters' products are rounded to before they are added, as PEFT does "
          "with adapters of 16 bits (default: float32, which rounds their sum with the base "
          "alone)")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16"}));
  AddMergeRunFlags(command, flags.merge);
  AddThreads(command, flags.merge.threads);
  AddMemory(command, flags.merge.memory);
}

int Run(const BakeFlags& flags, InterruptWatcher& interrupts) {
  const absl::StatusOr<std::string> recipe = RecipeFor(flags);
  if (!recipe.ok()) return Fail(recipe.status(), Phase::kPlanning);
  MergeFlags run = flags.merge;
  run.recipe = kSource;
  const StageRun made = {*recipe, {{}, *recipe}};
  EmbeddedExecutor executor(run.threads);
  return MergeWith(executor, run, interrupts, &made);
}

}  // namespace

void AddBake(Commands& commands) {
  const auto flags = std::make_shared<BakeFlags>();
  flags->merge.threads = AllCores();
  const auto run = [flags] {
    return WithInterrupts([&](InterruptWatcher& interrupts) { return Run(*flags, interrupts); });
  };
  CLI::App& command = commands.Add("bake", "Write the full model that base plus adapter is", run,
                                   std::shared_ptr<const LogFlags>(flags, &flags->merge.log));
  AddFlags(command, *flags);
}

}  // namespace merganser::cli
