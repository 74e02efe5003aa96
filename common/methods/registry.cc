#include "common/methods/registry.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/methods/linear.h"
#include "common/methods/resmerge.h"

namespace merganser {

// Explicit, in the order in which users see it.
const std::vector<MethodInfo>& Methods() {
  static const auto* methods = new std::vector<MethodInfo>{
      ResMergeMethod(),
      LinearMethod(),
      TaskArithmeticMethod(),
  };
  return *methods;
}

const MethodInfo* FindMethod(std::string_view name) {
  for (const MethodInfo& method : Methods()) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

absl::StatusOr<std::unique_ptr<MergeMethod>> MakeMethod(const MethodConfig& config) {
  const MethodInfo* entry = FindMethod(config.method);
  if (entry == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown method ", OneLine(config.method),
                     ": the plan was made by another version of merganser"));
  }
  return entry->make(config);
}

}  // namespace merganser
