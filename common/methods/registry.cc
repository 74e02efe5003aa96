#include "common/methods/registry.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/methods/breadcrumbs.h"
#include "common/methods/dare.h"
#include "common/methods/della.h"
#include "common/methods/karcher.h"
#include "common/methods/linear.h"
#include "common/methods/model_stock.h"
#include "common/methods/multislerp.h"
#include "common/methods/nearswap.h"
#include "common/methods/nuslerp.h"
#include "common/methods/parameters.h"
#include "common/methods/passthrough.h"
#include "common/methods/ram.h"
#include "common/methods/resmerge.h"
#include "common/methods/sce.h"
#include "common/methods/scf_rkl.h"
#include "common/methods/slerp.h"
#include "common/methods/ties.h"

namespace merganser {
namespace {

// Settles who takes part: the base is no expert of itself.
absl::Status ResolveModels(const Recipe& recipe, const MethodInfo& entry,
                           const std::function<std::string(const std::string&)>& canonical,
                           ResolvedMethod& resolved, std::vector<const RecipeModel*>& experts) {
  const bool given = recipe.base_model.has_value();
  if (entry.base == BaseUse::kRequired && !given) {
    return absl::InvalidArgumentError(
        absl::StrCat(recipe.source_name, ":", recipe.method_line, ": key 'base_model': missing; ",
                     std::string(entry.name),
                     " merges task vectors, expected the model that the "
                     "experts were trained from"));
  }
  const bool apart = given && entry.base != BaseUse::kNone;
  const std::string base = given ? canonical(*recipe.base_model) : std::string();
  bool base_listed = false;
  for (const RecipeModel& model : recipe.models) {
    const bool is_base = given && canonical(model.model) == base;
    base_listed |= is_base;
    if (is_base && apart) continue;
    experts.push_back(&model);
  }
  if (given && !apart && !base_listed) {
    return absl::InvalidArgumentError(absl::StrCat(
        recipe.source_name, ":", recipe.base_line, ": key 'base_model': found ",
        OneLine(*recipe.base_model), ", expected none, or one of the models: ",
        std::string(entry.name), " merges whole models, so a base takes part only when listed"));
  }
  if (apart) resolved.base = *recipe.base_model;
  resolved.config.has_base = apart;
  return absl::OkStatus();
}

}  // namespace

// Explicit, in the order in which users see it.
const std::vector<MethodInfo>& Methods() {
  static const auto* methods = new std::vector<MethodInfo>{
      ResMergeMethod(),
      ScfRklMethod(),
      LinearMethod(),
      TaskArithmeticMethod(),
      TiesMethod(),
      DareLinearMethod(),
      DareTiesMethod(),
      BreadcrumbsMethod(),
      BreadcrumbsTiesMethod(),
      DellaMethod(),
      DellaLinearMethod(),
      SceMethod(),
      SlerpMethod(),
      NuslerpMethod(),
      MultislerpMethod(),
      KarcherMethod(),
      ModelStockMethod(),
      NearswapMethod(),
      RamMethod(),
      RamPlusTlMethod(),
      PassthroughMethod(),
  };
  return *methods;
}

const MethodInfo* FindMethod(std::string_view name) {
  for (const MethodInfo& method : Methods()) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

absl::StatusOr<ResolvedMethod> ResolveMethod(
    const Recipe& recipe, const std::function<std::string(const std::string&)>& canonical) {
  const MethodInfo* entry = FindMethod(recipe.merge_method);
  if (entry == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(recipe.source_name, ":", recipe.method_line, ": key 'merge_method': found \"",
                     OneLine(recipe.merge_method), "\", expected one of: ",
                     absl::StrJoin(Methods(), ", ", [](std::string* out, const MethodInfo& method) {
                       out->append(method.name);
                     })));
  }
  ResolvedMethod resolved;
  resolved.config.method = std::string(entry->name);

  MERGANSER_RETURN_IF_ERROR(
      CheckKnownParameters(recipe.parameters, entry->parameters, false, recipe, entry->name));
  for (const RecipeModel& model : recipe.models) {
    MERGANSER_RETURN_IF_ERROR(
        CheckKnownParameters(model.parameters, entry->parameters, true, recipe, entry->name));
  }
  std::vector<const RecipeModel*> experts;
  MERGANSER_RETURN_IF_ERROR(ResolveModels(recipe, *entry, canonical, resolved, experts));

  for (const ParameterSpec& spec : entry->parameters) {
    if (spec.per_model) continue;
    MERGANSER_ASSIGN_OR_RETURN(ParameterValue value,
                               SettleParameter(spec, {&recipe.parameters}, recipe, entry->name));
    if (spec.kind == ParameterKind::kChoice) {
      resolved.config.choices[spec.key] = value.choice;
    } else {
      resolved.config.numbers[spec.key] = value.number;
    }
  }
  for (const RecipeModel* model : experts) {
    std::map<std::string, double> settled;
    bool dropped = false;
    for (const ParameterSpec& spec : entry->parameters) {
      if (!spec.per_model) continue;
      MERGANSER_ASSIGN_OR_RETURN(
          ParameterValue value,
          SettleParameter(spec, {&model->parameters, &recipe.parameters}, recipe, entry->name));
      if (!spec.no_effect.empty()) continue;
      settled[spec.key] = value.number;
      // A method of a fixed number of models gives 0 a meaning (one end of the way).
      if (spec.key == "weight" && value.number == 0 && entry->min_models != entry->max_models) {
        dropped = true;
      }
    }
    if (dropped) {
      resolved.warnings.push_back(
          absl::StrCat("model ", OneLine(model->model), " has weight 0 and takes no part"));
      continue;
    }
    resolved.config.per_model.push_back(std::move(settled));
    resolved.models.push_back(model->model);
  }
  for (const ParameterSpec& spec : entry->parameters) {
    if (spec.no_effect.empty()) continue;
    const bool given =
        recipe.parameters.contains(spec.key) ||
        std::any_of(recipe.models.begin(), recipe.models.end(),
                    [&](const RecipeModel& model) { return model.parameters.contains(spec.key); });
    if (given) {
      resolved.warnings.push_back(
          absl::StrCat("parameter ", spec.key, " has no effect here: ", spec.no_effect));
    }
  }
  if (resolved.models.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        recipe.source_name, ": key 'models': found no model that takes part, expected at least one",
        entry->base == BaseUse::kRequired ? " besides the base" : "",
        " with a weight other than 0"));
  }
  const size_t count = resolved.models.size();
  const bool fixed = entry->min_models == entry->max_models;
  if (count < entry->min_models || (entry->max_models != 0 && count > entry->max_models)) {
    const bool few = count < entry->min_models;
    return absl::InvalidArgumentError(absl::StrCat(
        recipe.source_name, ": key 'models': found ", count, count == 1 ? " model" : " models",
        count == 1 ? " that takes part" : " that take part",
        resolved.base.empty() ? "" : " besides the base", ", ", std::string(entry->name), " takes ",
        fixed ? "exactly "
        : few ? "at least "
              : "at most ",
        few ? entry->min_models : entry->max_models));
  }
  // Makes what only the whole config can show wrong (weights that sum to zero)
  // an error of the recipe.
  if (absl::StatusOr<std::unique_ptr<MergeMethod>> made = MakeMethod(resolved.config); !made.ok()) {
    return Annotate(made.status(), recipe.source_name);
  }
  return resolved;
}

absl::StatusOr<std::unique_ptr<MergeMethod>> MakeMethod(const MethodConfig& config) {
  const MethodInfo* entry = FindMethod(config.method);
  if (entry == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown method ", OneLine(config.method),
                     ": the plan was made by another version of merganser"));
  }
  return entry->make(config);
}

}  // namespace merganser
