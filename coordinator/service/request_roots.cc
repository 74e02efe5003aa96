#include "coordinator/service/request_roots.h"

#include <string>

#include "common/base/status.h"
#include "common/prepare/prepare.h"
#include "common/recipe/recipe.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

absl::Status Reasoned(const char* field, const absl::Status& status) {
  if (!absl::IsPermissionDenied(status)) return absl::OkStatus();
  return ReasonedError(status.code(), "ROOT_NOT_ALLOWED", std::string(status.message()),
                       {{"field", field}});
}

}  // namespace

absl::Status CheckRequestRoots(const JobRequest& request, const AllowedRoots& roots) {
  if (roots.everything() || request.recipe.size() > kMaxRecipeBytes) return absl::OkStatus();
  if (!request.output_uri.empty()) {
    MERGANSER_RETURN_IF_ERROR(
        Reasoned("output_uri", Annotate(roots.Check(request.output_uri), "output_uri")));
  }
  const absl::StatusOr<Recipe> recipe = ParseRecipe(request.recipe, request.source_name);
  if (!recipe.ok()) return absl::OkStatus();
  return Reasoned("recipe", CheckModelRoots(*recipe, request.directories, roots));
}

}  // namespace merganser
