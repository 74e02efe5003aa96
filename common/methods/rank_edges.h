// Which elements are among the first r by rank, exactly. Elements are ranked by key
// descending, then by index in their tensor ascending: where many share the key at
// the threshold, as in bf16, the first of them are taken.
//
// An edge splits a track's elements (see order_statistics.h) after the first r. It is
// found in two rounds, and a third that counts ties leaf by leaf where an edge runs
// through the ties of several leaves. Between rounds it is a row of numbers in a Gate;
// in the end it is a key, and the place in the tensor up to which ties are before it.
//
// All leaves of a group must be of one tensor. Keys must be those of magnitudes.
#ifndef MERGANSER_COMMON_METHODS_RANK_EDGES_H_
#define MERGANSER_COMMON_METHODS_RANK_EDGES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/methods/merge_method.h"
#include "common/methods/order_statistics.h"

namespace merganser {

inline constexpr int kRankRounds = 3;

struct RankEdge {
  uint32_t track = 0;
  uint64_t rank = 0;  // elements before the edge; from 0 to all of the track
};

// What the state of a search is, as it travels in Gate::values. Empty: the first round.
struct RankState {
  std::vector<double> values;
  bool settled = false;
};

// What a leaf tells in the round that `state` asks for. `elements` are the leaf's, each
// with a key on every track.
absl::StatusOr<Stats> AnalyzeRanks(std::span<const double> state, uint32_t tracks,
                                   uint64_t elements, Executor& executor, const KeyLoader& load);

// The next state. `edges` are those wanted: the same in every round, but read in the
// first alone, when the counts are there to derive them from (TrackTotal).
absl::StatusOr<RankState> ReduceRanks(std::span<const double> state,
                                      std::span<const RankEdge> edges, const GroupStats& stats);

// A settled edge within one leaf.
struct LeafEdge {
  uint32_t key = 0;
  uint64_t tie_end = 0;  // index in the leaf: smaller ones with this key are before the edge

  // The least key that is before the edge at this index.
  uint32_t LeastKey(uint64_t index) const { return index < tie_end ? key : key + 1; }
};

// Of a settled state, in the order of the edges. Reads the keys only where an edge
// runs through this leaf's ties.
absl::StatusOr<std::vector<LeafEdge>> EdgesOfLeaf(std::span<const double> state,
                                                  uint64_t leaf_index, uint64_t elements,
                                                  Executor& executor, const KeyLoader& load);

// Zeroes those of d[0, n), elements [at, at + n) of a leaf with `keys`, that are before
// `begin` or not before `end`.
void ZeroOutside(const LeafEdge& begin, const LeafEdge& end, uint64_t at, uint64_t n,
                 const uint32_t* keys, double* d);

// The key at a settled edge as a magnitude, for reports; 0 where the edge is before or
// behind all elements.
double EdgeMagnitude(std::span<const double> state, size_t index);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_RANK_EDGES_H_
