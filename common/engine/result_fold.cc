#include "common/engine/result_fold.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/methods/merge_method.h"

namespace merganser {

void ResultFold::Add(UnitResult result) {
  const auto [seen, fresh] = seen_.try_emplace({result.round, result.unit}, results_.size());
  if (!fresh) {
    std::vector<WriteReceipt>& known = results_[seen->second].receipts;
    for (WriteReceipt& receipt : result.receipts) {
      if (receipt.proof.empty() || std::find(known.begin(), known.end(), receipt) != known.end()) {
        continue;
      }
      known.push_back(std::move(receipt));
    }
    return;
  }
  std::vector<GroupCounts> kept;
  for (GroupCounts& part : result.counts) {
    const auto [it, first] =
        carriers_.try_emplace({result.round, part.group}, Place{results_.size(), kept.size()});
    if (first) {
      kept.push_back(std::move(part));
      continue;
    }
    std::vector<GroupCounts>& there =
        it->second.result == results_.size() ? kept : results_[it->second.result].counts;
    AddCounts(part.counts, there[it->second.counts].counts);
  }
  result.counts = std::move(kept);
  results_.push_back(std::move(result));
}

std::vector<UnitResult> ResultFold::Take() {
  seen_.clear();
  carriers_.clear();
  return std::exchange(results_, {});
}

uint64_t CountsBytes(const std::vector<UnitResult>& results) {
  uint64_t bytes = 0;
  for (const UnitResult& result : results) {
    for (const GroupCounts& part : result.counts) {
      bytes += part.counts.capacity() * sizeof(Counts::value_type);
    }
  }
  return bytes;
}

}  // namespace merganser
