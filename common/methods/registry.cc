#include "common/methods/registry.h"

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/methods/arcee_fusion.h"
#include "common/methods/breadcrumbs.h"
#include "common/methods/dare.h"
#include "common/methods/della.h"
#include "common/methods/karcher.h"
#include "common/methods/linear.h"
#include "common/methods/model_stock.h"
#include "common/methods/multislerp.h"
#include "common/methods/nearswap.h"
#include "common/methods/nuslerp.h"
#include "common/methods/passthrough.h"
#include "common/methods/ram.h"
#include "common/methods/resmerge.h"
#include "common/methods/sce.h"
#include "common/methods/scf_rkl.h"
#include "common/methods/slerp.h"
#include "common/methods/ties.h"

namespace merganser {

// Explicit, in the order in which users see it.
const std::vector<MethodInfo>& Methods() {
  static const auto* methods = new std::vector<MethodInfo>{
      ResMergeMethod(),       ScfRklMethod(),      LinearMethod(),
      TaskArithmeticMethod(), TiesMethod(),        DareLinearMethod(),
      DareTiesMethod(),       BreadcrumbsMethod(), BreadcrumbsTiesMethod(),
      DellaMethod(),          DellaLinearMethod(), SceMethod(),
      SlerpMethod(),          NuslerpMethod(),     MultislerpMethod(),
      KarcherMethod(),        ModelStockMethod(),  NearswapMethod(),
      ArceeFusionMethod(),    RamMethod(),         RamPlusTlMethod(),
      PassthroughMethod(),
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
        absl::StrCat("unknown method ", Shown(config.method),
                     ": the plan was made by another version of merganser"));
  }
  return entry->make(config);
}

}  // namespace merganser
