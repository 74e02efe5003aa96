// Runs a method over a whole tensor as the worker does: leaf by leaf, round by
// round, with the cut into leaves that a test wants.
#ifndef MERGANSER_TESTS_COMMON_METHODS_RUN_METHOD_H_
#define MERGANSER_TESTS_COMMON_METHODS_RUN_METHOD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/methods/merge_method.h"
#include "common/methods/registry.h"

namespace merganser {

// What is merged, and how it is cut.
struct MethodRun {
  std::string name = "model.layers.0.mlp.up_proj.weight";
  Shape shape;  // empty: one dimension
  TensorHints hints;
  std::vector<double> base;
  std::vector<std::vector<double>> experts;
  DType in = DType::kF64;  // the inputs are rounded to this dtype
  DType out = DType::kF64;
  bool deltas = false;                     // experts reach the method as task vectors of float64
  uint64_t leaf_elements = kLeafElements;  // kRows: whole rows of about so many, at least one
  size_t helpers = 0;                      // threads beside the calling one
};

struct MethodResult {
  std::vector<double> values;
  std::vector<std::byte> bytes;  // of the output dtype
  TensorNeeds needs;
  int rounds = 0;       // that were run
  ReportFields report;  // of the gates, then of leaf 0
};

// As the worker: statuses come back as the method gave them.
absl::StatusOr<MethodResult> RunMethod(const MergeMethod& method, const MethodRun& run);

// `values` rounded to `dtype` and back: the inputs that the method sees.
std::vector<double> RoundTo(DType dtype, const std::vector<double>& values);

// The method that a recipe's text gives; a failed test and nullptr where it gives none.
std::unique_ptr<MergeMethod> MethodFromRecipe(std::string_view yaml);
// The method `name` of `models` models, with a base unless it never has one.
// `parameters` stand under the recipe's own, in flow style ("lambda: 2, density: 0.5"),
// and parameters that are required are given a 1 where they are missing.
std::unique_ptr<MergeMethod> MethodNamed(std::string_view name, size_t models,
                                         const std::string& parameters = "");
// The text of such a recipe.
std::string RecipeNamed(const MethodInfo& info, size_t models, const std::string& parameters = "");

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_METHODS_RUN_METHOD_H_
