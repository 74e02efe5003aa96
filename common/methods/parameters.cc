#include "common/methods/parameters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/edit_distance.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/recipe_keys.h"
#include "common/recipe/recipe_place.h"

namespace merganser {
namespace {

std::string Found(const RecipeValue& value) {
  if (const auto* boolean = std::get_if<bool>(&value.value)) return *boolean ? "true" : "false";
  if (const auto* number = std::get_if<double>(&value.value)) return absl::StrCat(*number);
  return absl::StrCat("\"", Shown(std::get<std::string>(value.value)), "\"");
}

std::string Expected(const ParameterSpec& spec) {
  const bool low = std::isfinite(spec.min), high = std::isfinite(spec.max);
  std::string range;
  if (low && spec.exclusive_min) {
    range = absl::StrCat(" above ", spec.min);
    if (high) absl::StrAppend(&range, " and at most ", spec.max);
  } else if (low && high) {
    range = absl::StrCat(" from ", spec.min, " to ", spec.max);
  } else if (low) {
    range = absl::StrCat(" of at least ", spec.min);
  } else if (high) {
    range = absl::StrCat(" of at most ", spec.max);
  }
  switch (spec.kind) {
    case ParameterKind::kNumber:
      return absl::StrCat("a number", range);
    case ParameterKind::kInteger:
      return absl::StrCat("a whole number", range);
    case ParameterKind::kBoolean:
      return "true or false";
    case ParameterKind::kChoice:
      return absl::StrCat("one of: ", absl::StrJoin(spec.choices, ", "));
  }
  return "";
}

// Where the message points to.
std::string Place(const ParameterContext& context, int line, std::string_view key) {
  return absl::StrCat(context.source_name, ":", line, ": key 'parameters.", Shown(key), "'");
}

absl::Status Wrong(const ParameterContext& context, int line, const std::string& key,
                   const std::string& what) {
  return WithPlace(absl::InvalidArgumentError(absl::StrCat(Place(context, line, key), ": ", what)),
                   line, absl::StrCat("parameters.", key));
}

// A number, also one in quotes: YAML 1.1 takes 1e-3 for a text, and so do the programs that write
// recipes.
std::optional<double> NumberOf(const RecipeValue& value) {
  if (const auto* number = std::get_if<double>(&value.value)) return *number;
  const auto* text = std::get_if<std::string>(&value.value);
  if (text == nullptr || text->empty()) return std::nullopt;
  // from_chars takes "inf" and "nan", and no '+'.
  const char* begin = text->data() + (text->front() == '+' ? 1 : 0);
  const char* const end = text->data() + text->size();
  if (begin == end || (*begin != '-' && *begin != '.' && (*begin < '0' || *begin > '9'))) {
    return std::nullopt;
  }
  double number = 0;
  const auto [rest, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || rest != end || !std::isfinite(number)) return std::nullopt;
  return number;
}

bool Read(const ParameterSpec& spec, const RecipeValue& given, ParameterValue& out) {
  switch (spec.kind) {
    case ParameterKind::kNumber:
    case ParameterKind::kInteger: {
      const std::optional<double> number = NumberOf(given);
      if (!number.has_value() || !(*number >= spec.min && *number <= spec.max)) return false;
      if (spec.exclusive_min && *number == spec.min) return false;
      if (spec.kind == ParameterKind::kInteger && *number != std::floor(*number)) return false;
      out.number = *number;
      return true;
    }
    case ParameterKind::kBoolean: {
      if (const auto* boolean = std::get_if<bool>(&given.value)) {
        out.number = *boolean ? 1 : 0;
        return true;
      }
      // As mergekit writes them back.
      const std::optional<double> number = NumberOf(given);
      if (number != 0.0 && number != 1.0) return false;
      out.number = *number;
      return true;
    }
    case ParameterKind::kChoice: {
      const auto* text = std::get_if<std::string>(&given.value);
      if (text == nullptr) return false;
      out.choice = *text;
      return std::find(spec.choices.begin(), spec.choices.end(), *text) != spec.choices.end();
    }
  }
  return false;
}

absl::Status WrongValue(const ParameterSpec& spec, const RecipeValue& value,
                        const ParameterContext& context) {
  return Wrong(context, value.line, spec.key,
               absl::StrCat("found ", Found(value), ", expected ", Expected(spec)));
}

// What `condition` gives at `t`: its value, or the point of its gradient, which
// is linear between values that lie evenly over [0, 1].
RecipeValue ValueAt(const RecipeCondition& condition, double t) {
  const std::vector<RecipeValue>& values = condition.values;
  if (values.size() == 1) return values[0];
  const double place = t * static_cast<double>(values.size() - 1);
  const auto below = std::min(static_cast<size_t>(place), values.size() - 1);
  const size_t above = std::min(below + 1, values.size() - 1);
  const double part = place - static_cast<double>(below);
  // The reader lets only numbers into gradients.
  const double low = std::get<double>(values[below].value);
  const double high = std::get<double>(values[above].value);
  return {(1 - part) * low + part * high, values[below].line};
}

absl::Status CheckSetting(const ParameterSpec& spec, const RecipeSetting& setting,
                          const ParameterContext& context) {
  const bool number = spec.kind == ParameterKind::kNumber || spec.kind == ParameterKind::kInteger;
  for (const RecipeCondition& condition : setting.conditions) {
    if (condition.values.size() > 1 && !number) {
      return Wrong(context, condition.line, spec.key,
                   absl::StrCat("found a gradient, expected ", Expected(spec)));
    }
    for (const RecipeValue& value : condition.values) {
      if (ParameterValue ignored; !Read(spec, value, ignored)) {
        return WrongValue(spec, value, context);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

ParameterSpec NumberParameter(std::string key, double value, double min, double max,
                              std::string about) {
  ParameterSpec spec;
  spec.key = std::move(key);
  spec.about = std::move(about);
  spec.number = value;
  spec.min = min;
  spec.max = max;
  return spec;
}

ParameterSpec IntegerParameter(std::string key, double value, double min, double max,
                               std::string about) {
  ParameterSpec spec = NumberParameter(std::move(key), value, min, max, std::move(about));
  spec.kind = ParameterKind::kInteger;
  return spec;
}

ParameterSpec BooleanParameter(std::string key, bool value, std::string about) {
  ParameterSpec spec;
  spec.key = std::move(key);
  spec.about = std::move(about);
  spec.kind = ParameterKind::kBoolean;
  spec.number = value ? 1 : 0;
  return spec;
}

ParameterSpec ChoiceParameter(std::string key, std::vector<std::string> choices,
                              std::string about) {
  ParameterSpec spec;
  spec.key = std::move(key);
  spec.about = std::move(about);
  spec.kind = ParameterKind::kChoice;
  spec.choice = choices.front();
  spec.choices = std::move(choices);
  return spec;
}

ParameterSpec PerModel(ParameterSpec spec) {
  spec.per_model = true;
  return spec;
}

ParameterSpec Required(ParameterSpec spec) {
  spec.required = true;
  return spec;
}

ParameterSpec WeightParameter(bool required) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  ParameterSpec spec =
      PerModel(NumberParameter("weight", 1, -kInf, kInf, "of the model in the sum; 0 drops it"));
  spec.required = required;
  return spec;
}

ParameterSpec WithoutEffect(ParameterSpec spec, std::string why) {
  spec.per_model = true;
  spec.no_effect = std::move(why);
  return spec;
}

std::string DescribeValues(const ParameterSpec& spec) { return Expected(spec); }

absl::StatusOr<ParameterValue> SettleParameter(const ParameterSpec& spec,
                                               const std::vector<const RecipeParameters*>& levels,
                                               std::string_view tensor, double t,
                                               const ParameterContext& context) {
  bool given = false;
  for (const RecipeParameters* level : levels) {
    const auto it = level->find(spec.key);
    if (it == level->end()) continue;
    given = true;
    const RecipeCondition* condition = it->second.Match(tensor);
    if (condition == nullptr) continue;
    const RecipeValue value = ValueAt(*condition, t);
    ParameterValue settled;
    if (!Read(spec, value, settled)) return WrongValue(spec, value, context);
    return settled;
  }
  if (spec.required) {
    return Wrong(
        context, context.method_line, spec.key,
        absl::StrCat("missing; ", context.method, " expects ", Expected(spec),
                     given            ? ", and no filter takes in this tensor"
                     : spec.per_model ? " under every model, or one for all under the recipe's "
                                        "parameters"
                                      : ""));
  }
  return ParameterValue{spec.number, spec.choice};
}

bool AlwaysZero(const ParameterSpec& spec, const std::vector<const RecipeParameters*>& levels) {
  for (const RecipeParameters* level : levels) {
    const auto it = level->find(spec.key);
    if (it == level->end()) continue;
    for (const RecipeCondition& condition : it->second.conditions) {
      for (const RecipeValue& value : condition.values) {
        if (NumberOf(value) != 0.0) return false;
      }
      if (condition.filter.empty()) return true;
    }
  }
  return spec.number == 0;
}

std::vector<std::string> UnusedNotes(const SettingRemarks& remarks,
                                     const ParameterContext& context) {
  std::vector<std::string> notes;
  for (const auto& [key, lines] : remarks.unused) {
    std::string others;
    for (size_t i = 1; i < lines.size(); ++i) {
      absl::StrAppend(&others, i == 1 ? " (also in line " : ", ", lines[i]);
    }
    notes.push_back(absl::StrCat(Place(context, lines[0], key),
                                 ": accepted, but it has no effect here: ", context.method,
                                 " has no such parameter", others, others.empty() ? "" : ")"));
  }
  return notes;
}

absl::Status CheckSettings(const RecipeParameters& given, const std::vector<ParameterSpec>& specs,
                           bool model, const ParameterContext& context, SettingRemarks& remarks) {
  for (const auto& [key, setting] : given) {
    const auto known = std::find_if(specs.begin(), specs.end(),
                                    [&](const ParameterSpec& spec) { return spec.key == key; });
    if (known != specs.end() && (!model || known->per_model || !known->no_effect.empty())) {
      MERGANSER_RETURN_IF_ERROR(CheckSetting(*known, setting, context));
      continue;
    }
    if (known != specs.end()) {
      const std::string what = absl::StrCat(
          "found under a model, expected under the recipe's own parameters: ", context.method,
          " has one for all models");
      if (known->required) return Wrong(context, setting.line, key, what);
      remarks.warnings.push_back(absl::StrCat(Place(context, setting.line, key), ": ", what,
                                              "; it is ignored there, as by mergekit"));
      continue;
    }
    if (IsParameterWord(key)) {
      remarks.unused[key].push_back(setting.line);
      continue;
    }
    std::vector<std::string> names;
    const ParameterSpec* nearest = nullptr;
    // Further away it is another word, not a slip; of a short word not much may be left.
    size_t best = std::min<size_t>(4, key.size() / 2 + 1);
    for (const ParameterSpec& spec : specs) {
      if (model && !spec.per_model) continue;
      if (spec.no_effect.empty()) names.push_back(spec.key);
      if (const size_t distance = EditDistance(key, spec.key); distance < best) {
        best = distance;
        nearest = &spec;
      }
    }
    const std::string expected =
        names.empty() ? absl::StrCat(" (", context.method, " has none here)")
                      : absl::StrCat("; expected one of: ", absl::StrJoin(names, ", "));
    if (nearest != nullptr) {
      return Wrong(context, setting.line, key,
                   absl::StrCat("unknown to ", context.method, "; did you mean '", nearest->key,
                                "'?", expected));
    }
    const bool condition = key == "filter" || key == "value";
    remarks.warnings.push_back(absl::StrCat(
        Place(context, setting.line, key), ": unknown to ", context.method,
        condition
            ? ": it stands beside parameters, expected it in a condition of one of them, "
              "{filter: ..., value: ...}; it is ignored, as by mergekit"
            : absl::StrCat(", and no method has it: it is ignored, as by mergekit", expected)));
  }
  return absl::OkStatus();
}

}  // namespace merganser
