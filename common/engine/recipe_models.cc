#include "common/engine/recipe_models.h"

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
#include "common/engine/token_rules.h"
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

// NamedModels, and what is read of no more than its tokenizer.
std::vector<std::string> NamedPlaces(const Recipe& recipe) {
  std::vector<std::string> names = NamedModels(recipe);
  if (recipe.tokenizer.has_value() && !recipe.tokenizer->base) {
    names.push_back(recipe.tokenizer->model);
  }
  for (const std::string& model : ModelsOfTokenRules(recipe)) names.push_back(model);
  return names;
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

std::string RecipeModels::Canonical(const std::string& model) {
  const absl::StatusOr<std::string>& uri = Resolve(model);
  return uri.ok() ? *uri : model;
}

absl::StatusOr<std::shared_ptr<const Checkpoint>> RecipeModels::Open(const std::string& model) {
  const absl::StatusOr<std::string>& uri = Resolve(model);
  if (!uri.ok()) return Annotate(uri.status(), absl::StrCat("model ", Shown(model)));
  MERGANSER_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(*uri, model, stores_));
  return std::make_shared<const Checkpoint>(std::move(checkpoint));
}

absl::StatusOr<std::shared_ptr<const Checkpoint>> RecipeModels::OpenSmall(
    const std::string& model) {
  const absl::StatusOr<std::string>& uri = Resolve(model);
  if (!uri.ok()) return Annotate(uri.status(), absl::StrCat("model ", Shown(model)));
  MERGANSER_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenSmallFiles(*uri, model, stores_));
  return std::make_shared<const Checkpoint>(std::move(checkpoint));
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
  for (const std::string& model : NamedPlaces(*recipe)) {
    for (const std::string& directory : directories) {
      absl::StatusOr<Uri> uri = ParseUri(model);
      if (uri.ok()) uri = Absolute(*uri, directory);
      if (uri.ok() && uri->scheme == "file") paths.push_back(uri->path);
    }
  }
  return paths;
}

}  // namespace merganser
