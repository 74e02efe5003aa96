// Which methods there are, and how a recipe's parameters become theirs.
#ifndef MERGANSER_COMMON_METHODS_REGISTRY_H_
#define MERGANSER_COMMON_METHODS_REGISTRY_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"
#include "common/methods/resolved_method.h"
#include "common/recipe/recipe.h"

namespace merganser {

// The part of ResolveMethod that holds whichever of the recipe's models are one: unknown
// method, unknown parameter, wrong type, out of range, a base that is missing.
absl::Status CheckMethod(const Recipe& recipe);

// kInvalidArgument with the recipe's line and key: unknown method (lists those
// there are), unknown parameter (names the nearest), wrong type, out of range,
// a base that is missing or not wanted (in a slice), no expert left.
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
