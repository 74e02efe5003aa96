#include "common/methods/resolved_method.h"

#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/methods/registry.h"

namespace merganser {

std::vector<std::string> ResolvedMethod::inputs() const {
  std::vector<std::string> all;
  if (!base.empty()) all.push_back(base);
  all.insert(all.end(), models.begin(), models.end());
  return all;
}

absl::StatusOr<MethodConfig> ResolvedMethod::ConfigFor(const TensorPlace& place) const {
  const MethodInfo* info = FindMethod(context.method);
  if (info == nullptr || place.slice >= slices.size()) {
    return absl::InternalError(
        absl::StrCat("tensor ", Shown(place.name), " has no place in ", "the recipe"));
  }
  const ResolvedSlice& slice = slices[place.slice];
  MethodConfig settled;
  settled.method = context.method;
  settled.has_base = !base.empty();
  for (const ParameterSpec& spec : info->parameters) {
    if (spec.per_model) continue;
    MERGANSER_ASSIGN_OR_RETURN(
        ParameterValue value,
        SettleParameter(spec, {&slice.parameters, &parameters}, place.name, place.t, context));
    if (spec.kind == ParameterKind::kChoice) {
      settled.choices[spec.key] = value.choice;
    } else {
      settled.numbers[spec.key] = value.number;
    }
  }
  for (size_t s = settled.has_base ? 1 : 0; s < slice.sources.size(); ++s) {
    const std::string_view input = s < place.inputs.size() ? place.inputs[s] : place.name;
    std::map<std::string, double>& model = settled.per_model.emplace_back();
    for (const ParameterSpec& spec : info->parameters) {
      if (!spec.per_model || !spec.no_effect.empty()) continue;
      MERGANSER_ASSIGN_OR_RETURN(
          const ParameterValue value,
          SettleParameter(spec, {&slice.sources[s].parameters, &slice.parameters, &parameters},
                          input, place.t, context));
      model[spec.key] = value.number;
    }
  }
  return settled;
}

}  // namespace merganser
