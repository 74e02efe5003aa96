// A recipe's models, sorted into roles, and its parameters, settled tensor by
// tensor.
#ifndef MERGANSER_COMMON_METHODS_RESOLVED_METHOD_H_
#define MERGANSER_COMMON_METHODS_RESOLVED_METHOD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/methods/method_info.h"
#include "common/methods/parameters.h"
#include "common/recipe/recipe.h"

namespace merganser {

// What parameters may depend on.
struct TensorPlace {
  std::string name;  // in the output
  // In every source of its slice, in their order; empty: `name` in all of them.
  std::vector<std::string> inputs;
  double t = 0;        // along the layers of its slice, from 0 to 1; 0 outside of layers
  uint32_t slice = 0;  // index into ResolvedMethod::slices
};

// A model, or a run of its layers, that takes part in a slice.
struct ResolvedSource {
  uint32_t model = 0;  // index into ResolvedMethod::inputs()
  uint64_t first_layer = 0;
  RecipeParameters parameters;
};

// Layers of the output that are merged from the same sources.
struct ResolvedSlice {
  // The base first, where there is one; then the contributing models in the
  // recipe's order.
  std::vector<ResolvedSource> sources;
  std::optional<uint64_t> layers;  // of each source; none: models are taken whole
  RecipeParameters parameters;
};

struct ResolvedMethod {
  // Of tensors to which no gradient or filter applies. Where every tensor needs a
  // filter to have a required parameter, `has_default` is false and it has the
  // method's name alone.
  MethodConfig config;
  bool has_default = true;
  // As written in the recipe. Empty: the method has no base.
  std::string base;
  std::vector<std::string> models;    // contributing models, in recipe order
  std::vector<std::string> warnings;  // dropped models, what may be meant otherwise
  std::vector<std::string> notes;     // parameters without effect
  // Which of inputs() gives config, tensor order and tokenizer.
  uint32_t reference = 0;
  // The recipe names it as the base, whether it stands apart or is one of `models`.
  bool names_base = false;
  // One without `layers` for a recipe of whole models. Tensors before the layers
  // are of the first, those behind them of the last.
  std::vector<ResolvedSlice> slices;

  RecipeParameters parameters;  // the recipe's own
  ParameterContext context;

  // All models that are read: the base, where there is one, then `models`.
  std::vector<std::string> inputs() const;

  // The config of the tensor at `place`. kInvalidArgument, with the recipe's line
  // and key, where a parameter is missing or wrong there; the caller adds the
  // tensor.
  absl::StatusOr<MethodConfig> ConfigFor(const TensorPlace& place) const;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_RESOLVED_METHOD_H_
