// What a method says of itself: to users (`merganser methods`, METHODS.md's
// table), to the recipe's reader, and to tests. Every method's file exports one.
#ifndef MERGANSER_COMMON_METHODS_METHOD_INFO_H_
#define MERGANSER_COMMON_METHODS_METHOD_INFO_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/methods/merge_method.h"
#include "common/methods/parameters.h"

namespace merganser {

// A method with every parameter settled for one tensor: defaults filled in, types
// and ranges checked. Plain data: it travels in plans.
struct MethodConfig {
  std::string method;
  std::map<std::string, double> numbers;       // booleans are 0 or 1
  std::map<std::string, std::string> choices;  // such as scope: "tensor"
  // One a contributing model, in the order of the models that the leaf shows.
  std::vector<std::map<std::string, double>> per_model;
  // The base is Leaf::base and no expert; only of interest to BaseUse::kOptional.
  bool has_base = false;

  bool operator==(const MethodConfig&) const = default;
};

enum class BaseUse {
  kRequired,  // merges task vectors: base_model must be there, and is no expert
  kOptional,  // merges task vectors where there is a base, else whole models
  kNone,      // merges whole models; a base takes part only when listed
};

// What holds of a method under its default parameters and equal weights, in exact
// arithmetic; tests hold every method to it.
struct MethodProperties {
  bool identical_experts = true;  // N times the same expert gives that expert
  bool zero_deltas = true;        // experts equal to the base give the base
  bool order_free = true;         // the order of the models does not matter
  bool split = true;              // large tensors are cut into pieces
};

struct MethodInfo {
  std::string_view name;
  std::string_view summary;  // one sentence, without a full stop
  std::string_view paper;    // "arXiv 2212.04089", or whose method it is
  BaseUse base = BaseUse::kRequired;
  size_t min_models = 1;  // contributing models; a required base is not counted
  size_t max_models = 0;  // 0: any number
  std::vector<ParameterSpec> parameters;
  MethodProperties properties;
  // kInvalidArgument for a config that lacks a parameter (it travelled here from
  // another version), or whose parameters contradict each other.
  absl::StatusOr<std::unique_ptr<MergeMethod>> (*make)(const MethodConfig&) = nullptr;
  // How a tensor with these needs is treated otherwise than the method's authors do, as in
  // "3 tensors are ..."; empty: not. Null: never.
  std::string (*differs)(const MethodConfig&, const TensorSpec&, const TensorNeeds&) = nullptr;
};

// --- For `make`

// The number `key`; kInvalidArgument when a config that came from elsewhere lacks it.
absl::StatusOr<double> GetNumber(const MethodConfig& config, const std::string& key);
absl::StatusOr<std::string> GetChoice(const MethodConfig& config, const std::string& key);
// The number `key` of every model, in their order.
absl::StatusOr<std::vector<double>> GetPerModel(const MethodConfig& config, const std::string& key);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_METHOD_INFO_H_
