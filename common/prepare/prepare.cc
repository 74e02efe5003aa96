#include "common/prepare/prepare.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/auxiliary/auxiliary_files.h"
#include "common/auxiliary/chat_templates.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/config_differences.h"
#include "common/checkpoint/decoded.h"
#include "common/checkpoint/renamed_model.h"
#include "common/checkpoint/stored_formats.h"
#include "common/config/config_json.h"
#include "common/config/layer_tensors.h"
#include "common/methods/registry.h"
#include "common/prepare/prepare_tokenizer.h"
#include "common/prepare/recipe_models.h"
#include "common/prepare/token_numbers.h"
#include "common/prepare/tokenizer_checks.h"
#include "common/recipe/recipe_place.h"
#include "common/tokenizer/token_rules.h"

namespace merganser {
namespace {

// Per-layer entries of the reference's config go where its layers go; layers of
// other models take those of the same number.
ConfigChanges LayersOf(const std::vector<LayerSlice>& slices, const ModelConfig& config) {
  ConfigChanges layers;
  layers.reference_layers = config.layers.value_or(0);
  bool as_they_were = true;
  for (const LayerSlice& slice : slices) {
    for (uint64_t i = 0; i < slice.layers; ++i) {
      const uint64_t origin = slice.sources[0].first_layer + i;
      as_they_were &= origin == layers.origins.size();
      layers.origins.push_back(origin);
    }
  }
  if (as_they_were && layers.origins.size() == layers.reference_layers) layers.origins.clear();
  return layers;
}

// A base says the same below every adapter.
void AddModelRemarks(const std::vector<const Checkpoint*>& models, Plan& plan) {
  std::set<std::string_view> said;
  for (size_t m = 0; m < models.size(); ++m) {
    for (const std::string& line : models[m]->warnings) {
      if (said.insert(line).second) plan.warnings.push_back(line);
    }
    for (const std::string& line : models[m]->notes) {
      if (said.insert(line).second) plan.notes.push_back(line);
    }
    plan.models[m].adapters = models[m]->adapters;
    plan.models[m].stored = StoredFormatsOf(*models[m]);
  }
}

// A key that is about adapters, in a recipe of models that have none.
void NoteLoraDType(const Recipe& recipe, const std::vector<const Checkpoint*>& models, Plan& plan) {
  const bool adapted = std::any_of(models.begin(), models.end(), [](const Checkpoint* model) {
    return !model->adapters.empty();
  });
  if (recipe.lora_dtype_line == 0 || adapted) return;
  plan.notes.push_back(absl::StrCat(recipe.source_name, ":", recipe.lora_dtype_line,
                                    ": key 'lora_dtype': accepted, but it has no effect here: no "
                                    "model of the recipe has an adapter"));
}

}  // namespace

OutputDonors PreparedMerge::donors() const {
  OutputDonors donors(*reference);
  donors.tokenizer = tokenizer.get();
  donors.config = config;
  donors.tokenizer_files = tokenizer_files;
  donors.left_out = left_out;
  donors.chat_template = chat_template;
  donors.generation_config = generation_config;
  return donors;
}

absl::StatusOr<PreparedMerge> PrepareMerge(std::string_view recipe_text,
                                           std::string_view source_name,
                                           const std::vector<std::string>& directories,
                                           const Stores& stores, const StoreTraits& output,
                                           const StageContext* stage) {
  PreparedMerge prepared;
  MERGANSER_ASSIGN_OR_RETURN(prepared.recipe,
                             ParseRecipe(recipe_text, source_name, stage != nullptr));
  if (stage != nullptr) prepared.recipe.text = stage->recipe_text;
  RecipeModels models(prepared.recipe, directories, stores,
                      stage == nullptr ? nullptr : &stage->outputs);
  MERGANSER_ASSIGN_OR_RETURN(
      const ResolvedMethod resolved,
      ResolveMethod(prepared.recipe, [&](const std::string& m) { return models.Canonical(m); }));
  MERGANSER_RETURN_IF_ERROR(
      CheckTokenRules(prepared.recipe, resolved.inputs(),
                      [&](const std::string& m) { return models.Canonical(m); }));

  std::vector<std::shared_ptr<const Checkpoint>> opened;
  std::vector<const Checkpoint*> pointers;
  for (const std::string& name : resolved.inputs()) {
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<const Checkpoint> checkpoint, models.Open(name));
    opened.push_back(std::move(checkpoint));
    pointers.push_back(opened.back().get());
  }
  std::vector<std::string> renamed;
  if (prepared.recipe.rename) {
    MERGANSER_ASSIGN_OR_RETURN(renamed, RenameModels(opened, resolved.reference));
    for (size_t m = 0; m < opened.size(); ++m) pointers[m] = opened[m].get();
  }
  prepared.reference = opened[resolved.reference];
  const TokenizerModels donors = {
      resolved.inputs(), opened, NamedModels(prepared.recipe),
      [&](const std::string& model) { return models.Canonical(model); },
      [&](const std::string& model) { return models.OpenSmall(model); }};
  absl::StatusOr<SettledTokenizer> tokenizer = SettleTokenizer(donors, prepared);
  if (!tokenizer.ok() && !prepared.recipe.tokenizer.has_value()) return tokenizer.status();
  if (!tokenizer.ok()) {
    return WithPlace(tokenizer.status(), prepared.recipe.tokenizer->line,
                     prepared.recipe.tokenizer->key);
  }

  const std::vector<LayerSlice> slices = SlicesOf(resolved);
  AlignOptions options = OptionsOf(resolved);
  options.allow_partial = prepared.recipe.allow_partial;
  if (tokenizer->rows.has_value()) options.rows = &*tokenizer->rows;
  MERGANSER_ASSIGN_OR_RETURN(const Alignment alignment, AlignModels(pointers, slices, options));
  MERGANSER_ASSIGN_OR_RETURN(prepared.plan,
                             MakePlan(prepared.recipe, resolved, pointers, alignment, output));
  prepared.plan.notes.insert(prepared.plan.notes.end(), renamed.begin(), renamed.end());
  AddModelRemarks(pointers, prepared.plan);
  NoteLoraDType(prepared.recipe, pointers, prepared.plan);
  ConfigComparison configs = CompareConfigs(pointers, resolved.reference, !slices.empty());
  prepared.plan.warnings.insert(prepared.plan.warnings.end(), configs.warnings.begin(),
                                configs.warnings.end());
  prepared.plan.notes.insert(prepared.plan.notes.end(), configs.notes.begin(), configs.notes.end());
  prepared.plan.config_differences = std::move(configs.differences);
  prepared.plan.config_model = resolved.reference;
  std::move(tokenizer->warnings.begin(), tokenizer->warnings.end(),
            std::back_inserter(prepared.plan.warnings));
  std::move(tokenizer->notes.begin(), tokenizer->notes.end(),
            std::back_inserter(prepared.plan.notes));
  if (absl::Status settled = SettleChatTemplate(donors, prepared); !settled.ok()) {
    return WithPlace(settled, prepared.recipe.chat_template->line, "chat_template");
  }

  // What publication needs of the reference besides its weights: better known
  // now than after hours of work.
  const Checkpoint& reference = *prepared.reference;
  AuxiliaryRemarks remarks;
  MERGANSER_ASSIGN_OR_RETURN(std::vector<AuxiliaryFile> small,
                             ListAuxiliaryFiles(reference, *prepared.tokenizer, &remarks));
  MERGANSER_RETURN_IF_ERROR(RefuseGitLfsPointers(small));
  std::move(remarks.notes.begin(), remarks.notes.end(), std::back_inserter(prepared.plan.notes));
  std::move(remarks.warnings.begin(), remarks.warnings.end(),
            std::back_inserter(prepared.plan.warnings));
  std::vector<std::pair<std::string, std::string>> written;
  PutTokenizerFiles(prepared.tokenizer_files, prepared.left_out, small, written);
  if (prepared.chat_template.has_value()) {
    MERGANSER_RETURN_IF_ERROR(PutChatTemplate(*prepared.chat_template, small, written));
    const bool in_config = std::any_of(written.begin(), written.end(), [](const auto& file) {
      return file.first == "tokenizer_config.json";
    });
    if (!in_config) {
      prepared.plan.warnings.push_back(absl::StrCat(
          prepared.recipe.source_name, ":", prepared.recipe.chat_template->line,
          ": key 'chat_template': model ", Shown(prepared.tokenizer->given),
          " has no tokenizer_config.json: the template stands in chat_template.jinja alone, which "
          "older programs do not read"));
    }
  }
  if (!reference.config.text.empty()) {
    prepared.config = LayersOf(slices, reference.config);
    prepared.config.tie_word_embeddings = alignment.tie_word_embeddings;
    // Kept where the output has the form that they tell of.
    if (!prepared.recipe.out_source) prepared.config.dropped = QuantisedKeys(reference);
    if (tokenizer->rows.has_value()) prepared.config.vocab_size = tokenizer->rows->rows;
    const std::string file = reference.store->Describe("config.json");
    ConfigRemarks said;
    MERGANSER_RETURN_IF_ERROR(RewriteConfig(reference.config.text,
                                            DominantTorchDtype(prepared.plan), file,
                                            prepared.config, &said)
                                  .status());
    for (const std::string& line : said.warnings) {
      prepared.plan.warnings.push_back(absl::StrCat(file, ": ", line));
    }
    for (const std::string& line : said.notes) {
      prepared.plan.notes.push_back(absl::StrCat(file, ": ", line));
    }
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<std::string> sized,
                               CheckLayerTensors(reference, prepared.config));
    prepared.plan.warnings.insert(prepared.plan.warnings.end(), sized.begin(), sized.end());
  }
  MERGANSER_RETURN_IF_ERROR(SettleTokenNumbers(prepared));
  MERGANSER_RETURN_IF_ERROR(CompareTokenizers(donors, prepared));
  return prepared;
}

absl::Status CheckStageModels(const Recipe& recipe, const std::vector<std::string>& directories,
                              const Stores& stores, const StageContext& stage) {
  RecipeModels models(recipe, directories, stores, &stage.outputs);
  const absl::StatusOr<ResolvedMethod> resolved =
      ResolveMethod(recipe, [&](const std::string& model) { return models.Canonical(model); });
  MERGANSER_RETURN_IF_ERROR(resolved.status());
  for (const std::string& name : resolved->inputs()) {
    if (models.NeedsOutput(name)) continue;
    MERGANSER_RETURN_IF_ERROR(models.Open(name).status());
  }
  return absl::OkStatus();
}

}  // namespace merganser
