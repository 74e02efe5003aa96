#include "common/engine/prepare.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/config_differences.h"
#include "common/checkpoint/renamed_model.h"
#include "common/engine/auxiliary_files.h"
#include "common/engine/chat_templates.h"
#include "common/engine/config_json.h"
#include "common/engine/layer_tensors.h"
#include "common/engine/prepare_tokenizer.h"
#include "common/engine/token_numbers.h"
#include "common/engine/token_rules.h"
#include "common/engine/tokenizer_checks.h"
#include "common/methods/registry.h"
#include "common/recipe/recipe_place.h"
#include "common/storage/uri.h"

namespace merganser {
namespace {

// Whether `resolved` is what `model` names in `directory`, and not of the Hugging Face cache.
bool IsIn(const std::string& directory, const std::string& model, const std::string& resolved) {
  const absl::StatusOr<Uri> named = ParseUri(model);
  const absl::StatusOr<Uri> uri =
      named.ok() ? Absolute(*named, directory) : absl::StatusOr<Uri>(named.status());
  return uri.ok() && (uri->scheme != "file" || uri->path == resolved);
}

// The first directory that has the model, then the cache, which every one of them leads to;
// what the first one says if none has, of those that may be looked at.
absl::StatusOr<std::string> ResolveIn(const std::string& model,
                                      const std::vector<std::string>& directories,
                                      const AllowedRoots& roots) {
  std::vector<absl::StatusOr<std::string>> tried;
  std::optional<std::string> cached;
  for (const std::string& directory : directories) {
    tried.push_back(ResolveModel(model, directory, roots));
    std::error_code ignored;
    const bool there = tried.back().ok() && (!absl::StartsWith(*tried.back(), "/") ||
                                             std::filesystem::exists(*tried.back(), ignored));
    if (there && IsIn(directory, model, *tried.back())) return tried.back();
    if (there && !cached.has_value()) cached = *tried.back();
  }
  if (cached.has_value()) return *cached;
  for (const absl::StatusOr<std::string>& resolved : tried) {
    if (!absl::IsPermissionDenied(resolved.status())) return resolved;
  }
  return tried.front();
}

// The recipe's models by name, each resolved once, however often it is named.
class Models {
 public:
  Models(const std::vector<std::string>& directories, const Stores& stores,
         const StageContext* stage)
      : directories_(directories), stores_(stores), stage_(stage) {}

  const absl::StatusOr<std::string>& Resolve(const std::string& model) {
    auto it = resolutions_.find(model);
    if (it == resolutions_.end()) {
      const auto output = stage_ == nullptr ? std::map<std::string, std::string>::const_iterator()
                                            : stage_->outputs.find(model);
      if (stage_ != nullptr && output != stage_->outputs.end()) {
        return resolutions_.emplace(model, output->second).first->second;
      }
      absl::StatusOr<std::string> uri = ResolveIn(model, directories_, stores_.roots());
      // Whoever reads the plan reads the same, whatever a branch comes to mean meanwhile.
      if (uri.ok()) uri = stores_.Pin(*uri);
      it = resolutions_.emplace(model, std::move(uri)).first;
    }
    return it->second;
  }
  std::string Canonical(const std::string& model) {
    const absl::StatusOr<std::string>& uri = Resolve(model);
    return uri.ok() ? *uri : model;
  }
  absl::StatusOr<std::shared_ptr<const Checkpoint>> Open(const std::string& model) {
    const absl::StatusOr<std::string>& uri = Resolve(model);
    if (!uri.ok()) return Annotate(uri.status(), absl::StrCat("model ", Shown(model)));
    MERGANSER_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(*uri, model, stores_));
    return std::make_shared<const Checkpoint>(std::move(checkpoint));
  }
  absl::StatusOr<std::shared_ptr<const Checkpoint>> OpenSmall(const std::string& model) {
    const absl::StatusOr<std::string>& uri = Resolve(model);
    if (!uri.ok()) return Annotate(uri.status(), absl::StrCat("model ", Shown(model)));
    MERGANSER_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenSmallFiles(*uri, model, stores_));
    return std::make_shared<const Checkpoint>(std::move(checkpoint));
  }

 private:
  const std::vector<std::string>& directories_;
  const Stores& stores_;
  const StageContext* const stage_;
  std::map<std::string, absl::StatusOr<std::string>> resolutions_;
};

// Every model of the recipe, also those that take no part.
std::vector<std::string> NamedModels(const Recipe& recipe) {
  std::vector<std::string> names;
  if (recipe.base_model.has_value()) names.push_back(*recipe.base_model);
  for (const RecipeModel& model : recipe.models) names.push_back(model.model);
  for (const RecipeSlice& slice : recipe.slices) {
    for (const RecipeSource& source : slice.sources) names.push_back(source.model);
  }
  return names;
}

// The same, and what is read of no more than its tokenizer.
std::vector<std::string> NamedPlaces(const Recipe& recipe) {
  std::vector<std::string> names = NamedModels(recipe);
  if (recipe.tokenizer.has_value() && !recipe.tokenizer->base) {
    names.push_back(recipe.tokenizer->model);
  }
  for (const std::string& model : ModelsOfTokenRules(recipe)) names.push_back(model);
  return names;
}

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

}  // namespace

absl::StatusOr<std::string> ReadRecipeFile(const std::string& path) {
  const std::string what = absl::StrCat("read recipe ", Shown(path));
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, what);
  std::string text(kMaxRecipeBytes + 1, '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = read(fd, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      absl::Status status = ErrnoStatus(errno, what);
      close(fd);
      return status;
    }
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  close(fd);
  if (filled > kMaxRecipeBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(path), ": found more than ", kMaxRecipeBytes,
                     " bytes, expected a recipe; is this a weights file in the recipe's place?"));
  }
  text.resize(filled);
  return text;
}

std::vector<std::string> RecipeDirectories(const std::string& recipe_path) {
  std::error_code ignored;
  const std::filesystem::path current = std::filesystem::current_path(ignored);
  const std::filesystem::path own = (current / recipe_path).lexically_normal().parent_path();
  std::vector<std::string> directories = {current.string()};
  if (own != current) directories.push_back(own.string());
  return directories;
}

absl::Status CheckModelRoots(const Recipe& recipe, const std::vector<std::string>& directories,
                             const AllowedRoots& roots) {
  if (roots.everything()) return absl::OkStatus();
  for (const std::string& model : NamedPlaces(recipe)) {
    const absl::Status resolved = ResolveIn(model, directories, roots).status();
    if (absl::IsPermissionDenied(resolved)) {
      return Annotate(resolved, absl::StrCat("model ", Shown(model)));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> ModelPaths(std::string_view recipe_text, std::string_view source_name,
                                    const std::vector<std::string>& directories) {
  std::vector<std::string> paths;
  const absl::StatusOr<Recipe> recipe = ParseRecipe(recipe_text, source_name);
  if (!recipe.ok()) return paths;
  for (const std::string& model : NamedPlaces(*recipe)) {
    for (const std::string& directory : directories) {
      absl::StatusOr<Uri> uri = ParseUri(model);
      if (uri.ok()) uri = Absolute(*uri, directory);
      if (uri.ok() && uri->scheme == "file") paths.push_back(uri->path);
    }
  }
  return paths;
}

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
  Models models(directories, stores, stage);
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
  for (const Checkpoint* model : pointers) {
    prepared.plan.warnings.insert(prepared.plan.warnings.end(), model->warnings.begin(),
                                  model->warnings.end());
  }
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
  Models models(directories, stores, &stage);
  const absl::StatusOr<ResolvedMethod> resolved =
      ResolveMethod(recipe, [&](const std::string& model) { return models.Canonical(model); });
  MERGANSER_RETURN_IF_ERROR(resolved.status());
  for (const std::string& name : resolved->inputs()) {
    if (stage.outputs.contains(name)) continue;
    MERGANSER_RETURN_IF_ERROR(models.Open(name).status());
  }
  return absl::OkStatus();
}

}  // namespace merganser
