#include "common/checkpoint/renamed_model.h"

#include <cstddef>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/checkpoint/rename_messages.h"
#include "common/checkpoint/rename_search.h"
#include "common/checkpoint/rename_view.h"
#include "common/format/text.h"

namespace merganser {

absl::StatusOr<std::vector<std::string>> RenameModels(
    std::vector<std::shared_ptr<const Checkpoint>>& models, uint32_t reference) {
  const Checkpoint& names = *models[reference];
  // Models that were wrapped alike are told of together.
  std::map<std::string, std::vector<std::string>> done;
  for (size_t m = 0; m < models.size(); ++m) {
    if (m == reference) continue;
    const Renaming renaming = FindRenaming(names, *models[m]);
    if (renaming.empty()) continue;
    if (!renaming.ambiguity.empty() || !renaming.packed.refusal.empty()) {
      return absl::InvalidArgumentError(RefuseRenaming(renaming, names, *models[m]));
    }
    done[DescribeRenaming(renaming, names, *models[m])].push_back(Quoted(models[m]->given));
    models[m] = std::make_shared<const Checkpoint>(RenamedView(*models[m], renaming));
  }
  std::vector<std::string> notes;
  notes.reserve(done.size());
  for (const auto& [what, which] : done) {
    notes.push_back(absl::StrCat(which.size() == 1 ? "model " : "models ",
                                 absl::StrJoin(which, ", "), ": taken under the names of model ",
                                 Quoted(names.given), ": ", what));
  }
  return notes;
}

}  // namespace merganser
