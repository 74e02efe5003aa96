#include "common/methods/condition_checks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/methods/registry.h"

namespace merganser {
namespace {

constexpr std::string_view kWeight = "weight";
constexpr size_t kNamed = 3;  // tensors that a warning names

const ParameterSpec* SpecOf(const MethodInfo* info, std::string_view key) {
  if (info == nullptr) return nullptr;
  for (const ParameterSpec& spec : info->parameters) {
    if (spec.key == key && spec.no_effect.empty()) return &spec;
  }
  return nullptr;
}

bool HasFilter(const RecipeSetting& setting) {
  return std::any_of(setting.conditions.begin(), setting.conditions.end(),
                     [](const RecipeCondition& condition) { return !condition.filter.empty(); });
}

// Whether every tensor meets one of its conditions.
bool TakesAll(const RecipeSetting& setting) {
  return std::any_of(setting.conditions.begin(), setting.conditions.end(),
                     [](const RecipeCondition& condition) { return condition.filter.empty(); });
}

std::string FilterText(const RecipeCondition& condition) {
  return condition.filter.empty() ? "the condition without filter"
                                  : absl::StrCat("filter '", Shown(condition.filter), "'");
}

}  // namespace

ConditionChecks::ConditionChecks(const ResolvedMethod& resolved) : resolved_(resolved) {
  Watch(resolved.parameters, std::nullopt, std::nullopt);
  for (size_t s = 0; s < resolved.slices.size(); ++s) {
    const ResolvedSlice& slice = resolved.slices[s];
    Watch(slice.parameters, s, std::nullopt);
    for (size_t i = 0; i < slice.sources.size(); ++i) Watch(slice.sources[i].parameters, s, i);
  }
  WatchWeights();
}

void ConditionChecks::Watch(const RecipeParameters& parameters, std::optional<size_t> slice,
                            std::optional<size_t> source) {
  const MethodInfo* info = FindMethod(resolved_.context.method);
  for (const auto& [key, setting] : parameters) {
    const ParameterSpec* spec = SpecOf(info, key);
    if (spec == nullptr || (source.has_value() && !spec->per_model)) continue;
    if (setting.conditions.size() == 1 && !HasFilter(setting)) continue;
    Watched& watched = watched_.emplace_back();
    watched.key = key;
    watched.setting = &setting;
    watched.per_model = spec->per_model;
    watched.slice = slice;
    watched.source = source;
    watched.met.resize(setting.conditions.size());
    watched.hidden.resize(setting.conditions.size());
  }
}

void ConditionChecks::WatchWeights() {
  const ParameterSpec* spec = SpecOf(FindMethod(resolved_.context.method), kWeight);
  if (spec == nullptr || spec->required) return;  // without one the plan fails
  const size_t first = resolved_.base.empty() ? 0 : 1;
  for (size_t s = 0; s < resolved_.slices.size(); ++s) {
    for (size_t i = first; i < resolved_.slices[s].sources.size(); ++i) {
      const RecipeParameters& own = resolved_.slices[s].sources[i].parameters;
      const auto it = own.find(spec->key);
      if (it == own.end() || TakesAll(it->second)) continue;
      Bare& bare = bare_.emplace_back();
      bare.slice = s;
      bare.source = i;
      bare.line = it->second.line;
    }
  }
}

void ConditionChecks::Meet(Watched& watched, std::string_view name) const {
  bool taken = false;
  for (size_t i = 0; i < watched.setting->conditions.size(); ++i) {
    if (name.find(watched.setting->conditions[i].filter) == std::string_view::npos) continue;
    (taken ? watched.hidden : watched.met)[i] = true;
    taken = true;
  }
}

void ConditionChecks::See(const TensorPlace& place, bool alias) {
  if (place.slice >= resolved_.slices.size()) return;
  const ResolvedSlice& slice = resolved_.slices[place.slice];
  const auto input = [&](size_t i) -> std::string_view {
    return i < place.inputs.size() ? std::string_view(place.inputs[i]) : place.name;
  };
  if (first_.empty() && !alias) first_ = place.name;
  const size_t first = resolved_.base.empty() ? 0 : 1;
  for (Watched& watched : watched_) {
    if (watched.slice.has_value() && *watched.slice != place.slice) continue;
    if (!watched.per_model) {
      Meet(watched, place.name);
    } else if (watched.source.has_value()) {
      Meet(watched, input(*watched.source));
    } else {
      for (size_t i = first; i < slice.sources.size(); ++i) Meet(watched, input(i));
    }
  }
  if (alias) return;
  for (Bare& bare : bare_) {
    if (bare.slice != place.slice) continue;
    ++bare.tensors;
    const std::string_view name = input(bare.source);
    bool settled = false;
    for (const RecipeParameters* level :
         {&slice.sources[bare.source].parameters, &slice.parameters, &resolved_.parameters}) {
      const auto it = level->find(std::string(kWeight));
      settled = settled || (it != level->end() && it->second.Match(name) != nullptr);
    }
    if (settled) continue;
    ++bare.count;
    if (bare.without.size() < kNamed) bare.without.emplace_back(name);
  }
}

std::vector<std::string> ConditionChecks::Warnings() const {
  std::vector<std::string> warnings;
  const auto place = [&](int line, const std::string& key) {
    return absl::StrCat(resolved_.context.source_name, ":", line, ": key 'parameters.", Shown(key),
                        "': ");
  };
  for (const Watched& watched : watched_) {
    const std::vector<RecipeCondition>& conditions = watched.setting->conditions;
    bool all_taken = false;
    for (size_t i = 0; i < conditions.size(); ++i) {
      const RecipeCondition& condition = conditions[i];
      const std::string at = place(condition.line, watched.key);
      if (all_taken) {
        warnings.push_back(absl::StrCat(
            at, FilterText(condition),
            " stands behind a condition without filter, which takes in all tensors: it is never "
            "reached; put it before that one"));
      } else if (!watched.met[i] && !condition.filter.empty() && watched.hidden[i]) {
        warnings.push_back(absl::StrCat(at, FilterText(condition),
                                        " has no effect: every tensor that it meets is taken by "
                                        "a condition before it; put it before that one"));
      } else if (!watched.met[i] && !condition.filter.empty()) {
        warnings.push_back(absl::StrCat(
            at, FilterText(condition), " meets no tensor that is merged",
            watched.slice.has_value() && resolved_.slices.size() > 1 ? " in this slice" : "",
            "; a filter is a part of a name such as ", Shown(first_)));
      }
      all_taken = all_taken || condition.filter.empty();
    }
  }
  const std::vector<std::string> inputs = resolved_.inputs();
  for (const Bare& bare : bare_) {
    if (bare.count == 0) continue;
    const ResolvedSource& source = resolved_.slices[bare.slice].sources[bare.source];
    std::vector<std::string> names;
    names.reserve(bare.without.size());
    for (const std::string& name : bare.without) names.push_back(Shown(name));
    warnings.push_back(absl::StrCat(
        place(bare.line, std::string(kWeight)), "the weight of model ",
        source.model < inputs.size() ? Shown(inputs[source.model]) : "", " stands under filters ",
        "only: ", bare.count, " of ", bare.tensors, " tensors meet none and have the default, 1 (",
        absl::StrJoin(names, ", "), bare.count > names.size() ? ", ..." : "",
        "); add a condition without filter if they are to have another"));
  }
  return warnings;
}

}  // namespace merganser
