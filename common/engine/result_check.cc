#include "common/engine/result_check.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"

namespace merganser {
namespace {

bool IsDigest(const std::string& text) {
  return text.size() == 32 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool HasLeaf(const Plan& plan, uint32_t tensor, uint64_t leaf) {
  return tensor < plan.tensors.size() && leaf < plan.tensors[tensor].leaves;
}

// The first thing that is wrong; empty where nothing is.
std::string WrongWithAnalysis(const UnitResult& result, const Plan& plan) {
  for (const GroupStats::LeafSums& leaf : result.sums) {
    if (!HasLeaf(plan, leaf.tensor, leaf.leaf) || plan.tensors[leaf.tensor].group < 0) {
      return absl::StrCat("found sums of leaf ", leaf.leaf, " of tensor ", leaf.tensor,
                          ", which shares no gate in the plan");
    }
  }
  for (const GroupCounts& group : result.counts) {
    if (group.group >= plan.groups.size()) {
      return absl::StrCat("found a histogram of group ", group.group, ", expected one of ",
                          plan.groups.size());
    }
  }
  for (const std::string& digest : result.keepsake_digests) {
    if (!digest.empty() && !IsDigest(digest)) {
      return absl::StrCat("found the keepsake digest \"", OneLine(digest),
                          "\", expected none or 32 lower-case hex digits");
    }
  }
  for (const GroupReport& group : result.groups) {
    if (group.group >= plan.groups.size()) {
      return absl::StrCat("found a report on group ", group.group, ", expected one of ",
                          plan.groups.size());
    }
  }
  return "";
}

std::string WrongWith(const UnitResult& result, const Plan& plan) {
  if (static_cast<int64_t>(result.round) >= std::max(plan.rounds, 1)) {
    return absl::StrCat("found round ", result.round, " of a plan of ", plan.rounds);
  }
  const Unit& unit = plan.units[result.unit];
  const size_t digests = IsLastRound(plan, result.round) ? unit.segments.size() : 0;
  if (result.segment_digests.size() != digests) {
    return absl::StrCat("found ", result.segment_digests.size(), " segment digests, expected ",
                        digests);
  }
  for (const std::string& digest : result.segment_digests) {
    if (!IsDigest(digest)) {
      return absl::StrCat("found the digest \"", OneLine(digest),
                          "\", expected 32 lower-case hex digits");
    }
  }
  for (const WriteReceipt& receipt : result.receipts) {
    if (receipt.offset < unit.begin || receipt.offset > unit.end ||
        receipt.size > unit.end - receipt.offset) {
      return absl::StrCat("found a receipt of ", receipt.size, " bytes at ", receipt.offset,
                          ", expected it within [", unit.begin, ", ", unit.end, ")");
    }
  }
  for (const LeafReport& leaf : result.leaves) {
    if (!HasLeaf(plan, leaf.tensor, leaf.leaf)) {
      return absl::StrCat("found a report on leaf ", leaf.leaf, " of tensor ", leaf.tensor,
                          ", which the plan does not have");
    }
  }
  return WrongWithAnalysis(result, plan);
}

}  // namespace

absl::Status CheckResult(const UnitResult& result, const Plan& plan) {
  if (result.unit >= plan.units.size()) {
    return absl::DataLossError(absl::StrCat("unit result: found unit ", result.unit,
                                            ", expected one of ", plan.units.size()));
  }
  const std::string wrong = WrongWith(result, plan);
  if (wrong.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("result of unit ", result.unit, ": ", wrong));
}

}  // namespace merganser
