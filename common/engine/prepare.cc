#include "common/engine/prepare.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/alignment.h"
#include "common/engine/auxiliary_files.h"
#include "common/engine/config_json.h"
#include "common/methods/registry.h"

namespace merganser {
namespace {

// The first directory that has the model; what the first one says if none has.
absl::StatusOr<std::string> ResolveIn(const std::string& model,
                                      const std::vector<std::string>& directories) {
  std::vector<absl::StatusOr<std::string>> tried;
  for (const std::string& directory : directories) {
    tried.push_back(ResolveModel(model, directory));
    std::error_code ignored;
    const bool there = tried.back().ok() && (!absl::StartsWith(*tried.back(), "/") ||
                                             std::filesystem::exists(*tried.back(), ignored));
    if (there) return tried.back();
  }
  return tried.front();
}

}  // namespace

absl::StatusOr<std::string> ReadRecipeFile(const std::string& path) {
  const std::string what = absl::StrCat("read recipe ", OneLine(path));
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, what);
  std::string text(kMaxRecipeBytes + 1, '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = read(fd, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const absl::Status status = ErrnoStatus(errno, what);
      close(fd);
      return status;
    }
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  close(fd);
  if (filled > kMaxRecipeBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(OneLine(path), ": found more than ", kMaxRecipeBytes,
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

absl::StatusOr<PreparedMerge> PrepareMerge(std::string_view recipe_text,
                                           std::string_view source_name,
                                           const std::vector<std::string>& directories) {
  PreparedMerge prepared;
  MERGANSER_ASSIGN_OR_RETURN(prepared.recipe, ParseRecipe(recipe_text, source_name));

  // Each model is resolved once, however often it is named.
  std::map<std::string, absl::StatusOr<std::string>> resolutions;
  const auto resolve = [&](const std::string& model) -> const absl::StatusOr<std::string>& {
    auto it = resolutions.find(model);
    if (it == resolutions.end()) {
      it = resolutions.emplace(model, ResolveIn(model, directories)).first;
    }
    return it->second;
  };
  const auto canonical = [&](const std::string& model) {
    const absl::StatusOr<std::string>& uri = resolve(model);
    return uri.ok() ? *uri : model;
  };
  MERGANSER_ASSIGN_OR_RETURN(ResolvedMethod resolved, ResolveMethod(prepared.recipe, canonical));

  std::vector<std::string> names;
  if (!resolved.base.empty()) names.push_back(resolved.base);
  names.insert(names.end(), resolved.models.begin(), resolved.models.end());
  std::vector<std::shared_ptr<const Checkpoint>> opened;
  std::vector<const Checkpoint*> models;
  for (const std::string& name : names) {
    const absl::StatusOr<std::string>& uri = resolve(name);
    if (!uri.ok()) return Annotate(uri.status(), absl::StrCat("model ", OneLine(name)));
    absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(*uri, name);
    if (!checkpoint.ok()) return checkpoint.status();
    opened.push_back(std::make_shared<const Checkpoint>(*std::move(checkpoint)));
    models.push_back(opened.back().get());
  }
  MERGANSER_ASSIGN_OR_RETURN(Alignment alignment, AlignModels(models));
  MERGANSER_ASSIGN_OR_RETURN(std::unique_ptr<MergeMethod> method, MakeMethod(resolved.config));
  MERGANSER_ASSIGN_OR_RETURN(prepared.plan,
                             MakePlan(prepared.recipe, resolved, *method, models, alignment));

  // What publication needs of the reference besides its weights: better known
  // now than after hours of work.
  prepared.reference = opened.front();
  const Checkpoint& reference = *prepared.reference;
  MERGANSER_RETURN_IF_ERROR(ListAuxiliaryFiles(reference).status());
  if (!reference.config.text.empty()) {
    MERGANSER_RETURN_IF_ERROR(RewriteConfig(reference.config.text,
                                            DominantTorchDtype(prepared.plan),
                                            reference.store->Describe("config.json"))
                                  .status());
  }
  return prepared;
}

}  // namespace merganser
