#include "common/methods/registry.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/methods/linear.h"
#include "common/methods/parameters.h"
#include "common/methods/resmerge.h"

namespace merganser {
namespace {

// More would need other kernels, and no paper merges so many.
constexpr size_t kMaxSpectralExperts = 16;
constexpr double kMaxRank = 16;

struct MethodEntry {
  std::string_view name;
  bool has_base = true;
  size_t max_experts = 0;  // 0: any number
  std::vector<ParameterSpec> parameters;
  absl::StatusOr<std::unique_ptr<MergeMethod>> (*make)(const MethodConfig&);
};

ParameterSpec Number(std::string key, double value, double min, double max) {
  ParameterSpec spec;
  spec.key = std::move(key);
  spec.number = value;
  spec.min = min;
  spec.max = max;
  return spec;
}

ParameterSpec Boolean(std::string key, bool value) {
  ParameterSpec spec;
  spec.key = std::move(key);
  spec.kind = ParameterKind::kBoolean;
  spec.number = value ? 1 : 0;
  return spec;
}

ParameterSpec Weight(bool required) {
  ParameterSpec spec;
  spec.key = "weight";
  spec.per_model = true;
  spec.required = required;
  spec.number = 1;
  return spec;
}

ParameterSpec WithoutEffect(ParameterSpec spec, std::string why) {
  spec.per_model = true;
  spec.no_effect = std::move(why);
  return spec;
}

// A config that came from elsewhere may lack what this program expects.
absl::StatusOr<double> Get(const std::map<std::string, double>& values, const std::string& key,
                           const std::string& method) {
  const auto it = values.find(key);
  if (it == values.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "method ", method, " without parameter '", key,
        "': the plan was made by another version of merganser; run the same one everywhere"));
  }
  return it->second;
}

absl::StatusOr<std::vector<double>> Weights(const MethodConfig& config) {
  std::vector<double> weights;
  for (const auto& model : config.per_model) {
    MERGANSER_ASSIGN_OR_RETURN(const double weight, Get(model, "weight", config.method));
    weights.push_back(weight);
  }
  return weights;
}

double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum;
}

absl::StatusOr<std::unique_ptr<MergeMethod>> MakeLinearFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<double> weights, Weights(config));
  MERGANSER_ASSIGN_OR_RETURN(const double normalize,
                             Get(config.numbers, "normalize", config.method));
  double divisor = 1;
  if (normalize != 0) {
    divisor = Sum(weights);
    if (std::abs(divisor) < 1e-8) {
      return absl::InvalidArgumentError(
          absl::StrCat("linear: the weights sum to ", divisor,
                       " and normalize divides by that sum; expected a sum away from zero, or "
                       "normalize: false"));
    }
  }
  return MakeLinear(std::move(weights), divisor);
}

absl::StatusOr<std::unique_ptr<MergeMethod>> MakeTaskArithmeticFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<double> weights, Weights(config));
  MERGANSER_ASSIGN_OR_RETURN(const double normalize,
                             Get(config.numbers, "normalize", config.method));
  MERGANSER_ASSIGN_OR_RETURN(double scale, Get(config.numbers, "lambda", config.method));
  if (normalize != 0) {
    // As mergekit: a sum that is nearly zero divides by one.
    if (const double sum = Sum(weights); std::abs(sum) >= 1e-8) scale /= sum;
  }
  return MakeTaskArithmetic(std::move(weights), scale);
}

absl::StatusOr<std::unique_ptr<MergeMethod>> MakeResMergeFrom(const MethodConfig& config) {
  ResMergeParameters parameters;
  MERGANSER_ASSIGN_OR_RETURN(const double rank, Get(config.numbers, "rank_topk", config.method));
  parameters.rank_topk = static_cast<int>(rank);
  MERGANSER_ASSIGN_OR_RETURN(parameters.beta_min,
                             Get(config.numbers, "src_beta_min", config.method));
  MERGANSER_ASSIGN_OR_RETURN(parameters.beta_max,
                             Get(config.numbers, "src_beta_max", config.method));
  MERGANSER_ASSIGN_OR_RETURN(parameters.head_ratio_budget,
                             Get(config.numbers, "head_ratio_budget", config.method));
  if (parameters.beta_min > parameters.beta_max) {
    return absl::InvalidArgumentError(absl::StrCat("key 'parameters.src_beta_min': found ",
                                                   parameters.beta_min,
                                                   ", expected at most "
                                                   "src_beta_max, which is ",
                                                   parameters.beta_max));
  }
  if (parameters.rank_topk < 1 || parameters.rank_topk > kMaxRank || config.per_model.empty() ||
      config.per_model.size() > kMaxSpectralExperts) {
    return absl::InvalidArgumentError("resmerge: rank_topk or number of experts out of range");
  }
  return MakeResMerge(parameters, static_cast<int>(config.per_model.size()));
}

// The list of methods: explicit, in the order in which users see it.
const std::vector<MethodEntry>& Methods() {
  static const auto* methods = [] {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    ParameterSpec rank = Number("rank_topk", 1, 1, kMaxRank);
    rank.kind = ParameterKind::kInteger;
    ParameterSpec scope;
    scope.key = "scope";
    scope.kind = ParameterKind::kChoice;
    scope.choice = "tensor";
    scope.choices = {"tensor"};

    return new std::vector<MethodEntry>{
        {"resmerge",
         true,
         kMaxSpectralExperts,
         {rank, Number("src_beta_min", 0.7, 0, 10), Number("src_beta_max", 1.0, 0, 10),
          Number("head_ratio_budget", 0.2, 0, 10), scope},
         MakeResMergeFrom},
        {"linear", false, 0, {Weight(true), Boolean("normalize", true)}, MakeLinearFrom},
        {"task_arithmetic",
         true,
         0,
         {Weight(false), Boolean("normalize", false), Number("lambda", 1, -kInf, kInf),
          WithoutEffect(Number("density", 1, 0, 1), "task_arithmetic keeps every element"),
          WithoutEffect(Boolean("rescale", false), "task_arithmetic drops nothing to make up for")},
         MakeTaskArithmeticFrom},
    };
  }();
  return *methods;
}

const MethodEntry* FindMethod(std::string_view name) {
  for (const MethodEntry& entry : Methods()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

// Settles who takes part: the base is no expert of itself.
absl::Status ResolveModels(const Recipe& recipe, const MethodEntry& entry,
                           const std::function<std::string(const std::string&)>& canonical,
                           ResolvedMethod& resolved, std::vector<const RecipeModel*>& experts) {
  if (entry.has_base && !recipe.base_model.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(recipe.source_name, ":", recipe.method_line, ": key 'base_model': missing; ",
                     std::string(entry.name),
                     " merges task vectors, expected the model that the "
                     "experts were trained from"));
  }
  const std::string base =
      recipe.base_model.has_value() ? canonical(*recipe.base_model) : std::string();
  bool base_listed = false;
  for (const RecipeModel& model : recipe.models) {
    const bool is_base = recipe.base_model.has_value() && canonical(model.model) == base;
    base_listed |= is_base;
    if (is_base && entry.has_base) continue;
    experts.push_back(&model);
  }
  if (!entry.has_base && recipe.base_model.has_value() && !base_listed) {
    return absl::InvalidArgumentError(
        absl::StrCat(recipe.source_name, ":", recipe.base_line, ": key 'base_model': found ",
                     OneLine(*recipe.base_model),
                     ", expected none, or one of the models: ", std::string(entry.name),
                     " sums whole models, so a base takes part only when listed with a weight"));
  }
  if (entry.has_base) resolved.base = *recipe.base_model;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ResolvedMethod> ResolveMethod(
    const Recipe& recipe, const std::function<std::string(const std::string&)>& canonical) {
  const MethodEntry* entry = FindMethod(recipe.merge_method);
  if (entry == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        recipe.source_name, ":", recipe.method_line, ": key 'merge_method': found \"",
        OneLine(recipe.merge_method), "\", expected one of: ",
        absl::StrJoin(MethodNames(), ", ",
                      [](std::string* out, std::string_view name) { out->append(name); })));
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
      if (spec.key == "weight" && value.number == 0) dropped = true;
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
        entry->has_base ? " besides the base" : "", " with a weight other than 0"));
  }
  if (entry->max_experts != 0 && resolved.models.size() > entry->max_experts) {
    return absl::InvalidArgumentError(absl::StrCat(
        recipe.source_name, ": key 'models': found ", resolved.models.size(), " experts, ",
        std::string(entry->name), " takes at most ", entry->max_experts));
  }
  // Makes what only the whole config can show wrong (weights that sum to zero)
  // an error of the recipe.
  if (absl::StatusOr<std::unique_ptr<MergeMethod>> made = MakeMethod(resolved.config); !made.ok()) {
    return Annotate(made.status(), recipe.source_name);
  }
  return resolved;
}

absl::StatusOr<std::unique_ptr<MergeMethod>> MakeMethod(const MethodConfig& config) {
  const MethodEntry* entry = FindMethod(config.method);
  if (entry == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown method ", OneLine(config.method),
                     ": the plan was made by another version of merganser"));
  }
  return entry->make(config);
}

std::vector<std::string_view> MethodNames() {
  std::vector<std::string_view> names;
  for (const MethodEntry& entry : Methods()) names.push_back(entry.name);
  return names;
}

}  // namespace merganser
