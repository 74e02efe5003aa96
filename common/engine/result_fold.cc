#include "common/engine/result_fold.h"

#include "common/methods/merge_method.h"

namespace merganser {

void ResultFold::Add(UnitResult result) {
  if (!seen_.insert({result.round, result.unit}).second) return;
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
