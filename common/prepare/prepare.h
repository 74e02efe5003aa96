// From a recipe to a plan: what `merge`, `plan` and the coordinator share.
#ifndef MERGANSER_COMMON_PREPARE_PREPARE_H_
#define MERGANSER_COMMON_PREPARE_PREPARE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/config/config_json.h"
#include "common/plan/plan.h"
#include "common/prepare/output_donors.h"
#include "common/prepare/recipe_models.h"
#include "common/recipe/recipe.h"
#include "common/storage/roots.h"
#include "common/storage/stores.h"

namespace merganser {

struct PreparedMerge {
  Recipe recipe;
  Plan plan;
  // The base, or the first model: its config and small files go into the output.
  std::shared_ptr<const Checkpoint> reference;
  std::shared_ptr<const Checkpoint> tokenizer;  // whose tokenizer does; mostly the reference
  // Files of the output's tokenizer that are nobody's own, by name; and those that they replace.
  std::map<std::string, std::string, std::less<>> tokenizer_files;
  std::vector<std::string> left_out;
  ConfigChanges config;
  std::optional<std::string> chat_template;      // of the tokenizer, where it is not its own
  std::optional<std::string> generation_config;  // its text, where it is not the reference's

  // For publication; holds pointers into this.
  OutputDonors donors() const;
};

// Of a stage among others: which of its models are outputs of others, by their names, and where
// these are; and what is put on record as the recipe.
struct StageContext {
  std::map<std::string, std::string> outputs;  // name -> URI
  std::string recipe_text;
};

// Parses the recipe, resolves its models, opens and aligns the checkpoints
// (headers only) and plans. Every failure that is not IsRetryable means that the
// request is wrong. A relative path is looked for in each of `directories`, the
// first that has it wins: the current directory, as mergekit does, then the
// recipe's own. `output`: what the store of the output can do.
absl::StatusOr<PreparedMerge> PrepareMerge(std::string_view recipe_text,
                                           std::string_view source_name,
                                           const std::vector<std::string>& directories,
                                           const Stores& stores = {},
                                           const StoreTraits& output = {},
                                           const StageContext* stage = nullptr);

// What can be said of the models of a stage before those that it needs are merged: that the others
// are there and whole. As PrepareMerge says it.
absl::Status CheckStageModels(const Recipe& recipe, const std::vector<std::string>& directories,
                              const Stores& stores, const StageContext& stage);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PREPARE_PREPARE_H_
