#include "common/engine/lost_units.h"

#include <algorithm>
#include <cstddef>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"

namespace merganser {

absl::StatusOr<std::vector<uint32_t>> LostUnits(ObjectStore& output, const Plan& plan,
                                                std::span<const PlannedWrite> writes,
                                                std::span<const UnitResult> results) {
  std::vector<uint32_t> lost;
  if (!output.traits().whole_pieces) return lost;
  std::vector<std::vector<WriteReceipt>> receipts(writes.size());
  for (const UnitResult& result : results) {
    if (!IsLastRound(plan, result.round)) continue;
    const size_t shard = plan.units[result.unit].shard;
    receipts[shard].insert(receipts[shard].end(), result.receipts.begin(), result.receipts.end());
  }
  std::vector<std::set<uint64_t>> begins(writes.size());  // of lost pieces
  for (size_t shard = 0; shard < writes.size(); ++shard) {
    if (receipts[shard].empty()) continue;
    const absl::StatusOr<std::vector<size_t>> pieces =
        output.LostPieces(writes[shard], receipts[shard]);
    if (absl::IsNotFound(pieces.status())) continue;
    MERGANSER_RETURN_IF_ERROR(pieces.status());
    for (const size_t piece : *pieces) {
      begins[shard].insert(piece == 0 ? 0 : writes[shard].ends[piece - 1]);
    }
  }
  for (const UnitResult& result : results) {
    if (!IsLastRound(plan, result.round)) continue;
    const std::set<uint64_t>& of_shard = begins[plan.units[result.unit].shard];
    const bool any =
        std::any_of(result.receipts.begin(), result.receipts.end(),
                    [&](const WriteReceipt& receipt) { return of_shard.contains(receipt.offset); });
    if (any) lost.push_back(result.unit);
  }
  std::sort(lost.begin(), lost.end());
  return lost;
}

absl::Status RedoneTooOften(size_t units) {
  return absl::AbortedError(absl::StrCat(
      units, " units were written ", kMostRedone + 1,
      " times, and each time their parts were written over: another process writes the same "
      "output; end it, then go on with --resume, or submit the job again"));
}

}  // namespace merganser
