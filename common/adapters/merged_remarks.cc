#include "common/adapters/merged_remarks.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/methods/linear.h"

namespace merganser {
namespace {

bool IsWhole(const Plan& plan, const PlannedSource& source) {
  return plan.models[source.model].shards[source.shard].place != 0;
}

// "a, b, c and 4 more".
std::string FirstFew(const std::vector<std::string>& names) {
  constexpr size_t kNamed = 3;
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), kNamed); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ", ", Shown(names[i]));
  }
  if (names.size() > kNamed) absl::StrAppend(&out, " and ", names.size() - kNamed, " more");
  return out;
}

// Full models would have their base multiplied by the sum of linear's weights.
absl::Status CheckSums(const PreparedMerge& prepared, MergedModules& merged) {
  for (const MergedProduct& product : merged.products) {
    const MethodConfig& config = MethodOf(prepared.plan, product.deltas);
    if (config.method != "linear") return absl::OkStatus();
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::vector<double>> coefficients,
                               CoefficientsOf(config));
    double sum = 0;
    for (const double coefficient : coefficients.value_or(std::vector<double>())) {
      sum += coefficient;
    }
    if (std::abs(sum - 1) < 1e-6) continue;
    const std::string found =
        absl::StrCat("found linear whose weights sum to ", sum, " (", Shown(product.module), ")");
    if (!merged.whole.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(prepared.recipe.source_name, ": ", found,
                       ", and modules that are saved whole (", Shown(merged.whole[0].module),
                       "), which would be multiplied by that; expected weights that sum to 1, or "
                       "merge_method: task_arithmetic"));
    }
    merged.warnings.push_back(absl::StrCat(
        prepared.recipe.source_name, ": ", found,
        ": products are added up with them, as PEFT does with adapters' weights; of full models "
        "linear would multiply the base too. task_arithmetic says the first without doubt"));
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

void NameBase(const PreparedMerge& prepared, const std::vector<std::string>& names,
              MergedModules& merged) {
  if (names.size() == 1) {
    merged.base = names[0];
    return;
  }
  merged.base =
      prepared.plan.has_base ? prepared.plan.models[0].given : prepared.plan.models[0].uri;
  if (names.empty()) return;
  merged.warnings.push_back(
      absl::StrCat(prepared.recipe.source_name, ": the adapters' base_model_name_or_path are ",
                   FirstFew(names), "; that of the merged one is ", Shown(merged.base)));
}

// Models without what others have: nothing is added there.
void NoteLacks(const Plan& plan, MergedModules& merged) {
  for (uint32_t m = 0; m < plan.models.size(); ++m) {
    if (plan.models[m].adapters.empty()) continue;
    std::vector<std::string> lacks, unsaved;
    for (const MergedProduct& product : merged.products) {
      for (const PlannedSource& source : product.deltas.sources) {
        if (source.model == m && !source.update.has_value()) lacks.push_back(product.module);
      }
    }
    for (const MergedWhole& whole : merged.whole) {
      const PlannedTensor& tensor = plan.tensors[whole.tensor];
      bool any = false, mine = false;
      for (const PlannedSource& source : tensor.sources) {
        any = any || IsWhole(plan, source);
        mine = mine || (source.model == m && IsWhole(plan, source));
      }
      if (any && !mine) unsaved.push_back(whole.name);
    }
    if (!lacks.empty()) {
      merged.notes.push_back(absl::StrCat(
          "model ", Shown(plan.models[m].given), ": has no product for ", lacks.size(), " of ",
          merged.products.size(), " modules, ", FirstFew(lacks), ": it adds nothing there"));
    }
    if (!unsaved.empty()) {
      merged.warnings.push_back(
          absl::StrCat("model ", Shown(plan.models[m].given), ": does not bring ",
                       FirstFew(unsaved), " whole, as others do: it counts as the base's there"));
    }
  }
}

}  // namespace

absl::Status AddMergedRemarks(const PreparedMerge& prepared,
                              const std::vector<std::string>& base_names, MergedModules& merged) {
  MERGANSER_RETURN_IF_ERROR(CheckSums(prepared, merged));
  NameBase(prepared, base_names, merged);
  NoteLacks(prepared.plan, merged);
  return absl::OkStatus();
}

}  // namespace merganser
