#include "common/prepare/tokenizer_checks.h"

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/auxiliary/auxiliary_files.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/read_whole.h"
#include "common/tokenizer/tokenizer_comparison.h"

namespace merganser {
namespace {

constexpr char kGenerationFile[] = "generation_config.json";

// Models with the same differences.
struct Group {
  TokenizerDifferences differences;
  std::vector<std::string> models;
};

// "model a", "models a, b, c and 2 more".
std::string ModelsText(const std::vector<std::string>& models) {
  constexpr size_t kShown = 3;
  if (models.size() == 1) return absl::StrCat("model ", models[0]);
  const bool all = models.size() <= kShown;
  const size_t first = all ? models.size() - 1 : kShown;
  std::string text = "models ";
  for (size_t i = 0; i < first; ++i) absl::StrAppend(&text, i > 0 ? ", " : "", models[i]);
  return all ? absl::StrCat(text, " and ", models.back())
             : absl::StrCat(text, " and ", models.size() - kShown, " more");
}

std::string Warning(const Group& group, const std::string& output) {
  const bool one = group.models.size() == 1;
  return absl::StrCat(
      ModelsText(group.models), ": the output has tokenizer and stop tokens of model ", output,
      ", and will lack what ", one ? group.models[0] : "they",
      one ? " has: " : " have: ", absl::StrJoin(group.differences.items, "; "),
      "; to have that instead write tokenizer_source: ", group.models[0],
      group.differences.both_have_more ? ", or for the tokens of all models tokenizer_source: union"
                                       : "");
}

// The recipe names a model's tokenizer, and that has none.
absl::Status CheckNamed(const TokenizerModels& models, PreparedMerge& prepared) {
  TokenizerSide named(*prepared.tokenizer);
  MERGANSER_ASSIGN_OR_RETURN(const bool has, HasTokenizer(named.folder));
  if (has) return absl::OkStatus();
  for (const std::shared_ptr<const Checkpoint>& model : models.opened) {
    if (model == prepared.tokenizer) continue;
    MERGANSER_ASSIGN_OR_RETURN(const bool other, HasTokenizer(ModelFolder(*model)));
    if (!other) continue;
    prepared.plan.warnings.push_back(absl::StrCat(
        prepared.recipe.source_name, ":", prepared.recipe.tokenizer->line, ": key '",
        prepared.recipe.tokenizer->key, "': model ", Shown(prepared.tokenizer->given),
        " has no tokenizer, and so the output gets none; model ", Shown(model->given), " has one"));
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CompareTokenizers(const TokenizerModels& models, PreparedMerge& prepared) {
  const std::optional<TokenizerSource>& source = prepared.recipe.tokenizer;
  if (source.has_value() && !source->any) return CheckNamed(models, prepared);

  const std::string output_name = Shown(prepared.tokenizer->given);
  TokenizerSide tokenizer(*prepared.tokenizer);
  OutputTokens output;
  output.tokenizer = &tokenizer;
  output.vocabularies = !source.has_value();
  output.chat_templates = !prepared.recipe.chat_template.has_value();
  absl::Status read = tokenizer.Read();
  std::optional<std::string> generation = prepared.generation_config;
  if (read.ok() && !generation.has_value()) {
    absl::StatusOr<std::optional<std::string>> own =
        ModelFolder(*prepared.reference).Read(kGenerationFile);
    if (own.ok()) {
      generation = *std::move(own);
    } else {
      read = own.status();
    }
  }
  // A file that is none is told, a store that fails is an error.
  if (IsRetryable(read)) return read;
  if (!read.ok()) {
    prepared.plan.warnings.push_back(
        absl::StrCat("the tokenizer of model ", output_name,
                     ", which the output gets, was not compared with those of the others: ",
                     std::string(read.message())));
    return absl::OkStatus();
  }
  output.generation = generation.has_value();
  output.numbers = NumbersSaid(generation.value_or(""), prepared.reference->config.text);

  std::vector<Group> groups;
  std::map<std::string, std::vector<std::string>> failed;  // why -> models
  for (const std::shared_ptr<const Checkpoint>& model : models.opened) {
    if (model == prepared.tokenizer) continue;
    TokenizerSide side(*model);
    const std::string name = Shown(model->given);
    const absl::Status opened = side.Read();
    absl::StatusOr<TokenizerDifferences> found =
        opened.ok() ? CompareTokenizer(side, output) : absl::StatusOr<TokenizerDifferences>(opened);
    if (!found.ok()) {
      // The output's own file may be the one.
      if (IsRetryable(found.status())) return found.status();
      failed[std::string(found.status().message())].push_back(name);
      continue;
    }
    if (found->items.empty()) continue;
    Group* same = nullptr;
    for (Group& group : groups) {
      if (group.differences.items == found->items) same = &group;
    }
    if (same == nullptr) {
      groups.push_back({*std::move(found), {name}});
    } else {
      same->models.push_back(name);
    }
  }
  for (const auto& [why, names] : failed) {
    prepared.plan.warnings.push_back(absl::StrCat(
        ModelsText(names), ": not compared with the output's tokenizer, that of model ",
        output_name, ": ", why));
  }
  for (const Group& group : groups) {
    prepared.plan.warnings.push_back(Warning(group, output_name));
  }
  return absl::OkStatus();
}

}  // namespace merganser
