#include "common/checkpoint/adapter_origin.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace merganser {
namespace {

std::string Range(const char* what, double least, double most) {
  if (least == most) return absl::StrCat(what, " ", most);
  return absl::StrCat(what, " from ", least, " to ", most);
}

}  // namespace

std::string DescribeAdapter(const AdapterOrigin& adapter) {
  std::vector<std::string> parts = {adapter.dora ? "DoRA" : "LoRA"};
  if (adapter.modules > 0) {
    parts.push_back(
        absl::StrCat(adapter.modules,
                     adapter.expected > 0 ? absl::StrCat(" of ", adapter.expected) : std::string(),
                     adapter.modules == 1 && adapter.expected <= 1 ? " module" : " modules"));
    parts.push_back(adapter.least_rank == adapter.most_rank
                        ? absl::StrCat("r=", adapter.most_rank)
                        : absl::StrCat("r from ", adapter.least_rank, " to ", adapter.most_rank));
    parts.push_back(Range("alpha", adapter.least_alpha, adapter.most_alpha));
    parts.push_back(Range("scale", adapter.least_scale, adapter.most_scale));
  }
  if (adapter.weight != 1) parts.push_back(absl::StrCat("weight ", adapter.weight));
  if (adapter.rounded_to.has_value()) {
    parts.push_back(absl::StrCat("rounded to ", std::string(TorchName(*adapter.rounded_to))));
  }
  if (adapter.whole > 0) {
    parts.push_back(
        absl::StrCat(adapter.whole, adapter.whole == 1 ? " tensor whole" : " tensors whole"));
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace merganser
