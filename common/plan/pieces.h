// How units are handed to a store that takes objects in whole pieces.
#ifndef MERGANSER_COMMON_PLAN_PIECES_H_
#define MERGANSER_COMMON_PLAN_PIECES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"

namespace merganser {

// Shards have at most so many units: S3 takes 10,000 parts an object, and a unit may end in a part
// that is smaller than the others.
inline constexpr uint64_t kMaxUnitsPerShard = 4'500;

// kInvalidArgument where no merge can be written to a store of these traits.
absl::Status CheckOutputTraits(const StoreTraits& output);

// The least bytes of a unit, but of a shard's last, where a shard of `shard_size` bytes goes to a
// store of traits `output` and the recipe wants `unit_size`.
uint64_t UnitTarget(uint64_t unit_size, uint64_t shard_size, const StoreTraits& output);

// Where the pieces of `unit` end, in bytes of its shard; none where ranges are free. Every unit is
// made of whole pieces, so no two processes share one. Pieces end with segments where they can:
// small ones are joined up to some size, and large ones are cut.
std::vector<uint64_t> UnitPieceEnds(const Plan& plan, const Unit& unit);

// The same of whole shards, as BeginWrite wants them: one list a Plan::shards.
std::vector<std::vector<uint64_t>> ShardPieceEnds(const Plan& plan);

// A piece that does not lie within one segment is put together in a buffer of its own.
struct SharedPiece {
  size_t segment = 0;  // in which it begins, index into Unit::segments
  uint64_t begin = 0;  // bytes in the shard
  uint64_t end = 0;
};
// Those of a unit whose pieces end at `ends`, in their order; at most one begins in a segment.
std::vector<SharedPiece> SharedPieces(const Unit& unit, const std::vector<uint64_t>& ends);

// The least memory that `unit` can be done with: its largest segment, with the shared pieces and
// the scales that are open beside it. Sets Unit::memory.
uint64_t UnitMemory(const Plan& plan, const Unit& unit);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_PIECES_H_
