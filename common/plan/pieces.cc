#include "common/plan/pieces.h"

#include <algorithm>

#include "common/base/checked.h"
#include "common/plan/encoding.h"

namespace merganser {
namespace {

// Of the pieces that a store takes, units and pieces beyond them may each use so many.
uint64_t Share(const StoreTraits& output) {
  return std::max<uint64_t>(1, output.most_pieces / 20 * 9 + output.most_pieces % 20 * 9 / 20);
}

}  // namespace

absl::Status CheckOutputTraits(const StoreTraits& output) {
  if (output.read_only) {
    return absl::InvalidArgumentError("it is only read: write to a disk or a bucket (s3://)");
  }
  if (!output.whole_pieces || !output.equal_pieces) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "it takes objects only in pieces of one size, and those of a merge follow its tensors: "
      "write to another store or to a disk, and copy the model there");
}

uint64_t UnitTarget(uint64_t unit_size, uint64_t shard_size, const StoreTraits& output) {
  uint64_t target = std::max(unit_size, CeilDiv(shard_size, kMaxUnitsPerShard));
  if (!output.whole_pieces) return target;
  target = std::max(target, output.least_piece);
  return std::max(target, CeilDiv(shard_size, Share(output)));
}

std::vector<uint64_t> UnitPieceEnds(const Plan& plan, const Unit& unit) {
  std::vector<uint64_t> ends;
  const StoreTraits& output = plan.output;
  if (!output.whole_pieces || unit.end == unit.begin) return ends;
  const uint64_t shard_size = plan.shards[unit.shard].size;
  const uint64_t least = std::max<uint64_t>(1, output.least_piece);
  uint64_t wanted = std::max({output.good_piece, least, CeilDiv(shard_size, Share(output))});
  // Joined with a small rest, a piece has less than three times as much.
  wanted = std::clamp<uint64_t>(output.most_piece / 3, least, wanted);
  uint64_t begin = unit.begin, at = unit.begin;
  for (const Segment& segment : unit.segments) {
    at += segment.bytes_out;
    const uint64_t run = at - begin;
    if (run < wanted) continue;
    const uint64_t pieces = run / wanted;
    for (uint64_t i = 1; i <= pieces; ++i) ends.push_back(begin + run / pieces * i);
    ends.back() = begin = at;
  }
  if (begin == unit.end) return ends;
  const bool small = unit.end - begin < least && unit.end != shard_size;
  if (small && !ends.empty()) ends.pop_back();
  ends.push_back(unit.end);
  return ends;
}

std::vector<std::vector<uint64_t>> ShardPieceEnds(const Plan& plan) {
  std::vector<std::vector<uint64_t>> shards(plan.shards.size());
  for (const Unit& unit : plan.units) {
    const std::vector<uint64_t> ends = UnitPieceEnds(plan, unit);
    shards[unit.shard].insert(shards[unit.shard].end(), ends.begin(), ends.end());
  }
  return shards;
}

std::vector<SharedPiece> SharedPieces(const Unit& unit, const std::vector<uint64_t>& ends) {
  std::vector<SharedPiece> shared;
  uint64_t begin = unit.begin, segment_end = unit.begin;
  size_t next = 0;  // the segment that follows the one that ends at segment_end
  for (const uint64_t end : ends) {
    while (segment_end <= begin && next < unit.segments.size()) {
      segment_end += unit.segments[next++].bytes_out;
    }
    if (end > segment_end) shared.push_back({next - 1, begin, end});
    begin = end;
  }
  return shared;
}

uint64_t UnitMemory(const Plan& plan, const Unit& unit) {
  const std::vector<SharedPiece> shared = SharedPieces(unit, UnitPieceEnds(plan, unit));
  uint64_t most = 0, begin = unit.begin;
  size_t first = 0;  // of the shared pieces that are not over
  for (size_t s = 0; s < unit.segments.size(); ++s) {
    const uint64_t end = begin + unit.segments[s].bytes_out;
    while (first < shared.size() && shared[first].end <= begin) ++first;
    uint64_t memory = unit.segments[s].memory;
    bool any = false;
    if (const Segment& segment = unit.segments[s]; !segment.header && !segment.scales) {
      // Its tensor's scales, from the first segment of values on.
      const uint64_t scales = ScaleBytes(plan.tensors[segment.tensor]);
      if (scales > 0) memory += scales + kBufferRounding;
      any = scales > 0;
    }
    for (size_t p = first; p < shared.size() && shared[p].segment <= s; ++p) {
      memory += shared[p].end - shared[p].begin + kBufferRounding;
      any = true;
    }
    // A segment that is held alone may exceed the limit by its own rounding.
    most = std::max(most, any ? memory + kBufferRounding : memory);
    begin = end;
  }
  return most;
}

}  // namespace merganser
