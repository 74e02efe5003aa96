#include "common/methods/rank_edges.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/linalg/magnitude_keys.h"
#include "common/methods/blocks.h"

namespace merganser {
namespace {

// A state is a step, then a row an edge.
enum Step : int { kUpper = 0, kLower = 1, kTies = 2, kDone = 3 };

constexpr double kEvery = std::numeric_limits<double>::infinity();

// An edge on its way. The element before it has ascending rank `rank`.
struct Row {
  double track = 0;
  double rank = 0;
  double key = 0;    // kLower: its upper half; then the whole
  double below = 0;  // kLower: keys with a smaller upper half
  double leaf = 0;   // kDone: ties in earlier leaves are before the edge, in later ones not
  double ties = 0;   // kTies: so many are before it, kDone: of those in that leaf; or kEvery
};
constexpr size_t kRow = 6;

// No key of a magnitude is greater, and none is as great.
constexpr double kNoKey = 0xFFFFFFFE;
Row Nothing(uint32_t track) { return {static_cast<double>(track), -1, kNoKey, 0, 0, 0}; }
Row Everything(uint32_t track) { return {static_cast<double>(track), -1, 0, 0, 0, kEvery}; }
bool Trivial(const Row& row) { return row.rank < 0; }

struct Search {
  Step step = kUpper;
  std::vector<Row> rows;
};

bool Within(double number, double least, double most) { return number >= least && number <= most; }

// States travel: one that would lead out of bounds is refused.
absl::StatusOr<Search> Read(std::span<const double> state, uint32_t tracks) {
  constexpr double kMost = 0x1p53;
  Search search;
  if (state.empty()) return search;
  const double step = state[0];
  if (!(step == int{kLower} || step == int{kTies} || step == int{kDone}) ||
      (state.size() - 1) % kRow != 0) {
    return absl::InternalError(absl::StrCat("state of ", state.size(), " values that begins with ",
                                            step, ", expected one of a search for ranks"));
  }
  search.step = static_cast<Step>(static_cast<int>(step));
  for (size_t i = 1; i < state.size(); i += kRow) {
    const std::span<const double> v = state.subspan(i, kRow);
    const Row row = {v[0], v[1], v[2], v[3], v[4], v[5]};
    if (!(Within(row.track, 0, tracks - 1.0) && Within(row.rank, -1, kMost) &&
          Within(row.key, 0, kNoKey) && Within(row.below, 0, std::max(row.rank, 0.0)) &&
          Within(row.leaf, 0, kMost) && (row.ties == kEvery || Within(row.ties, 0, kMost)))) {
      return absl::InternalError(absl::StrCat("state of a search for ranks with edge ",
                                              absl::StrJoin(v, " "), " among ", tracks, " tracks"));
    }
    search.rows.push_back(row);
  }
  return search;
}

RankState Write(const Search& search) {
  RankState state;
  state.values.push_back(search.step);
  for (const Row& row : search.rows) {
    state.values.insert(state.values.end(),
                        {row.track, row.rank, row.key, row.below, row.leaf, row.ties});
  }
  state.settled = search.step == kDone;
  return state;
}

KeyRanges Ranges(const Search& search) {
  KeyRanges ranges;
  for (const Row& row : search.rows) {
    if (Trivial(row)) continue;
    ranges.push_back({static_cast<uint32_t>(row.track), static_cast<uint32_t>(row.key),
                      static_cast<uint64_t>(row.rank), static_cast<uint64_t>(row.below)});
  }
  return ranges;
}

// Ties at the edge among elements [begin, end) of a leaf.
uint64_t CountTies(const Row& row, uint64_t begin, uint64_t end, const KeyLoader& load) {
  const auto key = static_cast<uint32_t>(row.key);
  uint64_t ties = 0;
  uint32_t keys[kChunkElements];
  ForChunks(begin, end, [&](uint64_t at, uint64_t n) {
    load(static_cast<uint32_t>(row.track), at, n, keys);
    ties += static_cast<uint64_t>(std::count(keys, keys + n, key));
  });
  return ties;
}

// Index of the first element of a leaf that has `count` ties before it.
uint64_t EndOfTies(const Row& row, uint64_t count, uint64_t elements, Executor& executor,
                   const KeyLoader& load) {
  const uint64_t blocks = elements / kBlockElements + (elements % kBlockElements != 0);
  std::vector<uint64_t> ties(blocks);
  executor.ParallelFor(blocks, [&](size_t b) {
    ties[b] =
        CountTies(row, b * kBlockElements, std::min(elements, (b + 1) * kBlockElements), load);
  });
  size_t block = 0;
  while (block < blocks && count > ties[block]) count -= ties[block++];
  const auto key = static_cast<uint32_t>(row.key);
  uint64_t index = block * kBlockElements;
  uint32_t keys[kChunkElements];
  while (count > 0 && index < elements) {
    const uint64_t n = std::min(kChunkElements, elements - index);
    load(static_cast<uint32_t>(row.track), index, n, keys);
    for (uint64_t e = 0; e < n && count > 0; ++e, ++index) count -= keys[e] == key;
  }
  return index;
}

absl::StatusOr<Search> FindUpper(std::span<const RankEdge> edges, const GroupStats& stats) {
  Search next;
  next.step = kDone;
  for (const RankEdge& edge : edges) {
    const uint64_t total = TrackTotal(stats.counts, edge.track);
    if (edge.rank == 0) {
      next.rows.push_back(Nothing(edge.track));
    } else if (edge.rank == total) {
      next.rows.push_back(Everything(edge.track));
    } else if (edge.rank > total) {
      return absl::InternalError(
          absl::StrCat("histogram of ", total, " keys, expected at least ", edge.rank));
    } else {
      next.step = kLower;
      const WantedRank wanted{edge.track, total - edge.rank};
      MERGANSER_ASSIGN_OR_RETURN(const KeyRanges range, FindRanges(stats.counts, {&wanted, 1}));
      next.rows.push_back({static_cast<double>(edge.track), static_cast<double>(wanted.rank),
                           static_cast<double>(range[0].upper), static_cast<double>(range[0].below),
                           0, 0});
    }
  }
  return next;
}

absl::StatusOr<Search> FindLower(Search search, const GroupStats& stats) {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<OrderStatistic> found,
                             FindKeys(stats.counts, Ranges(search)));
  search.step = kDone;
  auto at = found.begin();
  for (Row& row : search.rows) {
    if (Trivial(row)) continue;
    const OrderStatistic& statistic = *at++;
    const auto rank = static_cast<uint64_t>(row.rank);
    row.key = statistic.key;
    row.below = 0;
    row.leaf = 0;
    row.ties = static_cast<double>(statistic.below + statistic.equal - rank);
    if (rank == statistic.below) {
      row.ties = kEvery;
    } else if (stats.leaves.size() == 1) {
      row.leaf = static_cast<double>(stats.leaves[0].leaf);
    } else {
      search.step = kTies;
    }
  }
  return search;
}

absl::StatusOr<Search> PlaceTies(Search search, const GroupStats& stats) {
  search.step = kDone;
  for (size_t i = 0; i < search.rows.size(); ++i) {
    Row& row = search.rows[i];
    if (Trivial(row) || row.ties == kEvery) continue;
    bool placed = false;
    for (const GroupStats::LeafSums& leaf : stats.leaves) {
      if (i >= leaf.sums.size()) break;
      row.leaf = static_cast<double>(leaf.leaf);
      placed = row.ties <= leaf.sums[i];
      if (placed) break;
      row.ties -= leaf.sums[i];
    }
    if (!placed) {
      return absl::InternalError(absl::StrCat("the leaves have ", row.ties,
                                              " elements at a threshold less than expected"));
    }
  }
  return search;
}

}  // namespace

absl::StatusOr<Stats> AnalyzeRanks(std::span<const double> state, uint32_t tracks,
                                   uint64_t elements, Executor& executor, const KeyLoader& load) {
  MERGANSER_ASSIGN_OR_RETURN(const Search search, Read(state, tracks));
  Stats stats;
  if (search.step != kTies) {
    stats.counts = CountKeys(Ranges(search), tracks, elements, executor, load);
    return stats;
  }
  stats.sums = SumBlocks(elements, search.rows.size(), executor,
                         [&](uint64_t begin, uint64_t end, double* sums) {
                           for (size_t i = 0; i < search.rows.size(); ++i) {
                             const Row& row = search.rows[i];
                             if (Trivial(row) || row.ties == kEvery) continue;
                             sums[i] = static_cast<double>(CountTies(row, begin, end, load));
                           }
                         });
  return stats;
}

absl::StatusOr<RankState> ReduceRanks(std::span<const double> state,
                                      std::span<const RankEdge> edges, const GroupStats& stats) {
  MERGANSER_ASSIGN_OR_RETURN(Search search, Read(state, std::numeric_limits<uint32_t>::max()));
  absl::StatusOr<Search> next = search.step == kUpper   ? FindUpper(edges, stats)
                                : search.step == kLower ? FindLower(std::move(search), stats)
                                                        : PlaceTies(std::move(search), stats);
  if (!next.ok()) return next.status();
  return Write(*next);
}

absl::StatusOr<std::vector<LeafEdge>> EdgesOfLeaf(std::span<const double> state, uint32_t tracks,
                                                  uint64_t leaf_index, uint64_t elements,
                                                  Executor& executor, const KeyLoader& load) {
  MERGANSER_ASSIGN_OR_RETURN(const Search search, Read(state, tracks));
  if (search.step != kDone) {
    return absl::InternalError("a search for ranks ended before it was settled");
  }
  const auto leaf = static_cast<double>(leaf_index);
  std::vector<LeafEdge> edges;
  for (const Row& row : search.rows) {
    LeafEdge edge{static_cast<uint32_t>(row.key), 0};
    if (row.ties == kEvery || leaf < row.leaf) {
      edge.tie_end = elements;
    } else if (leaf == row.leaf && row.ties > 0) {
      edge.tie_end = EndOfTies(row, static_cast<uint64_t>(row.ties), elements, executor, load);
    }
    edges.push_back(edge);
  }
  return edges;
}

void ZeroOutside(const LeafEdge& begin, const LeafEdge& end, uint64_t at, uint64_t n,
                 const uint32_t* keys, double* d) {
  for (uint64_t e = 0; e < n;) {
    // A run within which neither edge changes its mind about ties.
    uint64_t stop = n;
    for (const LeafEdge* edge : {&begin, &end}) {
      if (at + e < edge->tie_end) stop = std::min(stop, edge->tie_end - at);
    }
    const uint32_t least = end.LeastKey(at + e);
    const uint32_t beyond = begin.LeastKey(at + e);
    linalg::ZeroOutsideKeys(keys + e, least, beyond, stop - e, d + e);
    e = stop;
  }
}

double EdgeMagnitude(std::span<const double> state, size_t index) {
  const size_t at = 1 + index * kRow + 2;
  if (at >= state.size() || state[at] == kNoKey) return 0;
  return KeyMagnitude(static_cast<uint32_t>(state[at]));
}

}  // namespace merganser
