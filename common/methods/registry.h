// Which methods there are, and how a recipe's parameters become theirs.
#ifndef MERGANSER_COMMON_METHODS_REGISTRY_H_
#define MERGANSER_COMMON_METHODS_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"
#include "common/recipe/recipe.h"

namespace merganser {

// The recipe's models, sorted into roles, and its parameters.
struct ResolvedMethod {
  // Of tensors to which no gradient or filter applies.
  MethodConfig config;
  // As written in the recipe. Empty: the method has no base and models[0] gives
  // config, tensor order and tokenizer.
  std::string base;
  std::vector<std::string> models;    // contributing models, in recipe order
  std::vector<std::string> warnings;  // dropped models, parameters without effect
};

// kInvalidArgument with the recipe's line and key: unknown method (lists those
// there are), unknown parameter (names the nearest), wrong type, out of range,
// a base that is missing or not wanted, no expert left.
//
// `canonical` maps a model as written to a name under which two spellings of
// one model are equal (a resolved path); it must not fail.
absl::StatusOr<ResolvedMethod> ResolveMethod(
    const Recipe& recipe, const std::function<std::string(const std::string&)>& canonical);

// `config` comes from ResolveMethod, here or in another process;
// kInvalidArgument if it does not (a newer or older program).
absl::StatusOr<std::unique_ptr<MergeMethod>> MakeMethod(const MethodConfig& config);

// All methods, in the order in which they are listed to users.
const std::vector<MethodInfo>& Methods();

// nullptr when there is none of this name.
const MethodInfo* FindMethod(std::string_view name);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_REGISTRY_H_
