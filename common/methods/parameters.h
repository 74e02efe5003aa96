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

// For messages: whose parameters they are, and where the recipe names the method.
struct ParameterContext {
  std::string source_name;
  int method_line = 0;
  std::string method;
};

// Settles `spec` for one tensor from the first of `levels` (a model's own, its
// slice's, the recipe's) that has the key and a condition that `tensor` meets,
// else the default. `tensor` is the name that filters are held against, `t` from
// 0 to 1 the place along a gradient. InvalidArgument as
// "SOURCE:LINE: key 'parameters.KEY': found X, expected Y", for values that
// CheckSettings cannot find (a gradient between two whole numbers), and for a
// required parameter that no level has for this tensor.
absl::StatusOr<ParameterValue> SettleParameter(const ParameterSpec& spec,
                                               const std::vector<const RecipeParameters*>& levels,
                                               std::string_view tensor, double t,
                                               const ParameterContext& context);

// Whether no tensor at all can have another value than 0 from `levels`, wherever
// filters and gradients take it.
bool AlwaysZero(const ParameterSpec& spec, const std::vector<const RecipeParameters*>& levels);

// What CheckSettings has to say of what it lets pass.
struct SettingRemarks {
  // Parameters that other methods have and this one has not, and their lines.
  std::map<std::string, std::vector<int>> unused;
  std::vector<std::string> warnings;
};

// The notes of `remarks.unused`, one a parameter.
std::vector<std::string> UnusedNotes(const SettingRemarks& remarks,
                                     const ParameterContext& context);

// InvalidArgument when `given` has a key that is near to one of `specs` and unknown (names it),
// one that is required and stands under a model though it is one for all, or any value, also under
// a condition or in a gradient, of another type or range. `model` says that `given` stands under a
// model. What mergekit ignores passes, and `remarks` tell: parameters of other methods, those of
// no method, and under a model those that are one for all.
absl::Status CheckSettings(const RecipeParameters& given, const std::vector<ParameterSpec>& specs,
                           bool model, const ParameterContext& context, SettingRemarks& remarks);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_PARAMETERS_H_
