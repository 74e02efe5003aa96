#include "common/prepare/recipe_models.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/adapted_model.h"
#include "common/checkpoint/adapter.h"
#include "common/storage/uri.h"
#include "common/tokenizer/token_rules.h"

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

// The folders of NamedModels, of bases and adapters each its own, and what is read of no more than
// its tokenizer.
std::vector<std::string> NamedPlaces(const Recipe& recipe) {
  std::vector<std::string> names = NamedModels(recipe);
  if (recipe.tokenizer.has_value() && !recipe.tokenizer->base) {
    names.push_back(recipe.tokenizer->model);
  }
  for (const std::string& model : ModelsOfTokenRules(recipe)) names.push_back(model);
  std::vector<std::string> places;
  for (const std::string& name : names) {
    for (std::string& part : PartsOfModel(recipe, name)) places.push_back(std::move(part));
  }
  return places;
}

// What an adapter's own file says its base is cannot be taken.
absl::Status BadBase(const absl::Status& status, const std::string& adapter) {
  return Annotate(status, absl::StrCat("adapter ", Shown(adapter),
                                       ": its adapter_config.json names a base that cannot be "
                                       "taken; name the base in the recipe, as base_model or as "
                                       "MODEL+ADAPTER"));
}

}  // namespace

const absl::StatusOr<std::string>& RecipeModels::Resolve(const std::string& model) {
  const auto known = resolutions_.find(model);
  if (known != resolutions_.end()) return known->second;
  if (outputs_ != nullptr) {
    const auto output = outputs_->find(model);
    if (output != outputs_->end()) return resolutions_.emplace(model, output->second).first->second;
  }
  absl::StatusOr<std::string> uri = ResolveIn(model, directories_, stores_.roots());
  // Whoever reads the plan reads the same, whatever a branch comes to mean meanwhile.
  if (uri.ok()) uri = stores_.Pin(*uri);
  return resolutions_.emplace(model, std::move(uri)).first->second;
}

bool RecipeModels::IsFolderHere(const std::string& model) const {
  for (const std::string& directory : directories_) {
    absl::StatusOr<Uri> uri = ParseUri(model);
    if (uri.ok()) uri = Absolute(*uri, directory);
    if (!uri.ok() || uri->scheme != "file" || !stores_.roots().Check(uri->path).ok()) continue;
    std::error_code ignored;
    if (std::filesystem::is_directory(uri->path, ignored)) return true;
  }
  return false;
}

ModelRef RecipeModels::PartsOf(const std::string& model) {
  const auto adapted = recipe_.adapted.find(model);
  const bool output = outputs_ != nullptr && outputs_->contains(model);
  if (adapted == recipe_.adapted.end() || output ||
      (adapted->second.may_be_path && IsFolderHere(model))) {
    return {model, {}, false};
  }
  return adapted->second;
}

absl::StatusOr<bool> RecipeModels::IsAdapter(const std::string& uri) {
  const auto known = adapters_.find(uri);
  if (known != adapters_.end()) return known->second;
  const absl::StatusOr<std::shared_ptr<ObjectStore>> store = stores_.Open(uri);
  if (!store.ok()) return false;  // opening it says why
  MERGANSER_ASSIGN_OR_RETURN(const bool is, IsAdapterFolder(**store));
  return adapters_.emplace(uri, is).first->second;
}

absl::StatusOr<RecipeModels::Composition> RecipeModels::Compose(const std::string& model,
                                                                bool look) {
  const ModelRef ref = PartsOf(model);
  Composition composition;
  const absl::StatusOr<std::string>& base = Resolve(ref.path);
  if (!base.ok()) return Annotate(base.status(), absl::StrCat("model ", Shown(ref.path)));
  bool is_adapter = false;
  if (look || !ref.adapters.empty()) {
    absl::StatusOr<bool> is = IsAdapter(*base);
    if (!is.ok()) return Annotate(is.status(), absl::StrCat("model ", Shown(ref.path)));
    is_adapter = *is;
  }
  if (is_adapter) {
    const std::string uri = *base;
    MERGANSER_ASSIGN_OR_RETURN(composition, BaseOf(uri, ref.path));
    composition.adapters.push_back({uri, ref.path, 1});
  } else {
    composition.base = *base;
    composition.base_given = ref.path;
  }
  for (const ModelAdapter& adapter : ref.adapters) {
    const absl::StatusOr<std::string>& uri = Resolve(adapter.path);
    if (!uri.ok()) return Annotate(uri.status(), absl::StrCat("adapter ", Shown(adapter.path)));
    composition.adapters.push_back({*uri, adapter.path, adapter.weight});
  }
  return composition;
}

absl::StatusOr<RecipeModels::Composition> RecipeModels::BaseOf(const std::string& uri,
                                                               const std::string& model) {
  constexpr size_t kDeepest = 8;
  if (depth_ == kDeepest) {
    return absl::InvalidArgumentError(absl::StrCat(
        "adapter ", Shown(model), ": found more than ", kDeepest,
        " adapters one on the other, expected a model below them: name it, as MODEL+ADAPTER"));
  }
  ++depth_;
  absl::StatusOr<Composition> base = absl::UnknownError("");
  const bool other = recipe_.base_model.has_value() && [&] {
    const ModelRef own = PartsOf(*recipe_.base_model);
    const absl::StatusOr<std::string>& at = Resolve(own.path);
    return !at.ok() || *at != uri;
  }();
  if (other) {
    base = Compose(*recipe_.base_model, /*look=*/true);
  } else {
    const absl::StatusOr<std::string> named = BaseNamedByAdapter(uri, model, stores_);
    base =
        named.ok() ? Compose(*named, /*look=*/true) : absl::StatusOr<Composition>(named.status());
    if (named.ok() && !base.ok()) base = BadBase(base.status(), model);
    if (base.ok() && base->named_by.empty()) base->named_by = model;
  }
  --depth_;
  return base;
}

std::string RecipeModels::Canonical(const std::string& model) {
  // Where no model is written with adapters, adapters' folders have one spelling, as others have.
  const absl::StatusOr<Composition> found = Compose(model, !recipe_.adapted.empty());
  if (!found.ok()) return model;
  std::string text = found->base;
  for (const Composition::Part& adapter : found->adapters) {
    absl::StrAppend(&text, "+", adapter.weight, "*", adapter.uri);
  }
  return text;
}

absl::StatusOr<std::shared_ptr<const Checkpoint>> RecipeModels::OpenPlain(
    const std::string& uri, const std::string& given) {
  const auto known = opened_.find(uri);
  if (known != opened_.end()) {
    if (known->second->given == given) return known->second;
    Checkpoint again = *known->second;
    again.given = given;
    return std::make_shared<const Checkpoint>(std::move(again));
  }
  MERGANSER_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(uri, given, stores_));
  return opened_.emplace(uri, std::make_shared<const Checkpoint>(std::move(checkpoint)))
      .first->second;
}

absl::StatusOr<std::shared_ptr<const Checkpoint>> RecipeModels::OpenAdapted(
    const Composition& composition, const std::string& given) {
  const absl::StatusOr<std::shared_ptr<const Checkpoint>> base =
      OpenPlain(composition.base, composition.base_given);
  if (!base.ok() && !composition.named_by.empty()) {
    return BadBase(base.status(), composition.named_by);
  }
  MERGANSER_RETURN_IF_ERROR(base.status());
  std::vector<Adapter> adapters;
  for (const Composition::Part& part : composition.adapters) {
    MERGANSER_ASSIGN_OR_RETURN(Adapter adapter, OpenAdapter(part.uri, part.given, stores_));
    adapter.weight = part.weight;
    adapter.rounded_to = recipe_.lora_dtype;
    adapters.push_back(std::move(adapter));
  }
  MERGANSER_ASSIGN_OR_RETURN(Checkpoint model, AdaptedModel(**base, adapters, given));
  return std::make_shared<const Checkpoint>(std::move(model));
}

absl::StatusOr<std::shared_ptr<const Checkpoint>> RecipeModels::Open(const std::string& model) {
  MERGANSER_ASSIGN_OR_RETURN(const Composition composition, Compose(model, /*look=*/false));
  if (!composition.adapters.empty()) return OpenAdapted(composition, model);
  absl::StatusOr<std::shared_ptr<const Checkpoint>> plain = OpenPlain(composition.base, model);
  // Where the store does not answer nothing more is asked of it.
  if (plain.ok() || IsRetryable(plain.status())) return plain;
  MERGANSER_ASSIGN_OR_RETURN(const bool is_adapter, IsAdapter(composition.base));
  if (!is_adapter) return plain;
  MERGANSER_ASSIGN_OR_RETURN(const Composition adapter, Compose(model, /*look=*/true));
  return OpenAdapted(adapter, model);
}

absl::StatusOr<std::shared_ptr<const Checkpoint>> RecipeModels::OpenSmall(
    const std::string& model) {
  MERGANSER_ASSIGN_OR_RETURN(const Composition composition, Compose(model, /*look=*/false));
  MERGANSER_ASSIGN_OR_RETURN(Checkpoint checkpoint,
                             OpenSmallFiles(composition.base, model, stores_));
  return std::make_shared<const Checkpoint>(std::move(checkpoint));
}

bool RecipeModels::NeedsOutput(const std::string& model) {
  if (outputs_ == nullptr) return false;
  const ModelRef ref = PartsOf(model);
  if (outputs_->contains(ref.path)) return true;
  for (const ModelAdapter& adapter : ref.adapters) {
    if (outputs_->contains(adapter.path)) return true;
  }
  if (!recipe_.base_model.has_value() || model == *recipe_.base_model) return false;
  const absl::StatusOr<std::string>& uri = Resolve(ref.path);
  return uri.ok() && IsAdapter(*uri).value_or(false) && NeedsOutput(*recipe_.base_model);
}

std::vector<std::string> NamedModels(const Recipe& recipe) {
  std::vector<std::string> names;
  if (recipe.base_model.has_value()) names.push_back(*recipe.base_model);
  for (const RecipeModel& model : recipe.models) names.push_back(model.model);
  for (const RecipeSlice& slice : recipe.slices) {
    for (const RecipeSource& source : slice.sources) names.push_back(source.model);
  }
  return names;
}

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
  std::vector<std::string> places = NamedPlaces(*recipe);
  for (const auto& [name, ref] : recipe->adapted) {
    if (ref.may_be_path) places.push_back(name);
  }
  for (const std::string& model : places) {
    for (const std::string& directory : directories) {
      absl::StatusOr<Uri> uri = ParseUri(model);
      if (uri.ok()) uri = Absolute(*uri, directory);
      if (uri.ok() && uri->scheme == "file") paths.push_back(uri->path);
    }
  }
  return paths;
}

}  // namespace merganser
