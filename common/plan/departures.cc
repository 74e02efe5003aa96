#include "common/plan/departures.h"

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/methods/registry.h"
#include "common/plan/folded_lines.h"

namespace merganser {

std::vector<std::string> Departures(const Plan& plan) {
  std::vector<std::string> texts;
  const MethodInfo* const info = FindMethod(plan.method.method);
  if (info == nullptr || info->differs == nullptr) return texts;
  FoldedLines folded;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.needs.mode == "copy") continue;
    const std::string differs = info->differs(MethodOf(plan, tensor), tensor.spec, tensor.needs);
    if (!differs.empty()) folded.Add(tensor.spec.name, differs);
  }
  for (const FoldedLines::Line& line : folded.lines()) {
    texts.push_back(
        line.tensors == 1
            ? absl::StrCat("1 tensor (", Shown(line.first), ") is ", line.what)
            : absl::StrCat(line.tensors, " tensors (", line.Names(), ") are ", line.what));
  }
  return texts;
}

}  // namespace merganser
