// The parameters that a method declares, and how a recipe's values are held
// against them.
#ifndef MERGANSER_COMMON_METHODS_PARAMETERS_H_
#define MERGANSER_COMMON_METHODS_PARAMETERS_H_

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/recipe/recipe.h"

namespace merganser {

enum class ParameterKind { kNumber, kInteger, kBoolean, kChoice };

struct ParameterSpec {
  std::string key;
  std::string about;  // one short sentence for users, without a full stop
  ParameterKind kind = ParameterKind::kNumber;
  // May stand under a model; a value under the recipe's own `parameters` then
  // serves all models that have none.
  bool per_model = false;
  bool required = false;
  double number = 0;   // default of numbers, integers, booleans
  std::string choice;  // default of choices
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;
  bool exclusive_min = false;  // `min` itself is not allowed
  // Accepted for the sake of existing recipes; why it changes nothing.
  std::string no_effect;
};

// --- The usual kinds of specs, to be adjusted where a method differs.

ParameterSpec NumberParameter(std::string key, double value, double min, double max,
                              std::string about);
ParameterSpec IntegerParameter(std::string key, double value, double min, double max,
                               std::string about);
ParameterSpec BooleanParameter(std::string key, bool value, std::string about);
// The first of `choices` is the default.
ParameterSpec ChoiceParameter(std::string key, std::vector<std::string> choices, std::string about);
ParameterSpec PerModel(ParameterSpec spec);
ParameterSpec Required(ParameterSpec spec);
// `weight`, one a model, any finite number; 1 unless required.
ParameterSpec WeightParameter(bool required);
// mergekit's parameter that changes nothing here, and why; may stand anywhere.
ParameterSpec WithoutEffect(ParameterSpec spec, std::string why);

// What values it takes, as messages and lists put it: "a number from 0 to 1".
std::string DescribeValues(const ParameterSpec& spec);

struct ParameterValue {
  double number = 0;
  std::string choice;
};

// Settles `spec` from the first of `levels` that has the key (a model's own
// before the recipe's), else the default. InvalidArgument as
// "SOURCE:LINE: key 'parameters.KEY': found X, expected Y".
absl::StatusOr<ParameterValue> SettleParameter(const ParameterSpec& spec,
                                               const std::vector<const RecipeParameters*>& levels,
                                               const Recipe& recipe, std::string_view method);

// InvalidArgument when `given` has a key that `specs` do not know or that may
// not stand there; names the nearest known one. `model` says that `given`
// stands under a model.
absl::Status CheckKnownParameters(const RecipeParameters& given,
                                  const std::vector<ParameterSpec>& specs, bool model,
                                  const Recipe& recipe, std::string_view method);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_PARAMETERS_H_
