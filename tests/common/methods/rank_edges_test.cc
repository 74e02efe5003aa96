// Splitting by rank, whatever the cut into leaves, against a stable sort.
#include "common/methods/rank_edges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "common/base/executor.h"
#include "common/methods/order_statistics.h"

namespace merganser {
namespace {

constexpr uint64_t kSeed = 9031;

using Keys = std::vector<uint32_t>;

struct Outcome {
  std::vector<bool> kept;  // between the two edges
  int rounds = 0;
};

absl::StatusOr<Outcome> KeepBetween(const Keys& keys, uint64_t begin, uint64_t end,
                                    size_t leaf_elements) {
  SerialExecutor executor;
  const std::vector<RankEdge> edges = {{0, begin}, {0, end}};
  const auto loader = [&](size_t first) {
    return [&keys, first](uint32_t, uint64_t at, uint64_t n, uint32_t* out) {
      std::copy_n(keys.data() + first + at, n, out);
    };
  };
  Outcome split;
  RankState state;
  while (!state.settled) {
    GroupStats stats;
    for (size_t first = 0, leaf = 0; first < keys.size(); first += leaf_elements, ++leaf) {
      const size_t count = std::min(leaf_elements, keys.size() - first);
      const auto found = AnalyzeRanks(state.values, 1, count, executor, loader(first));
      if (!found.ok()) return found.status();
      AddCounts(found->counts, stats.counts);
      stats.leaves.push_back({0, leaf, found->sums});
    }
    const auto next = ReduceRanks(state.values, edges, stats);
    if (!next.ok()) return next.status();
    state = *next;
    ++split.rounds;
  }
  EXPECT_LE(split.rounds, kRankRounds);
  for (size_t first = 0, leaf = 0; first < keys.size(); first += leaf_elements, ++leaf) {
    const size_t count = std::min(leaf_elements, keys.size() - first);
    const auto found = EdgesOfLeaf(state.values, leaf, count, executor, loader(first));
    if (!found.ok()) return found.status();
    std::vector<double> ones(count, 1.0);
    for (size_t at = 0; at < count; at += 1000) {
      const size_t n = std::min<size_t>(1000, count - at);
      ZeroOutside((*found)[0], (*found)[1], at, n, keys.data() + first + at, ones.data() + at);
    }
    for (const double one : ones) split.kept.push_back(one != 0);
  }
  return split;
}

void ExpectAsSorted(const Keys& keys) {
  std::vector<size_t> order(keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return keys[a] > keys[b]; });
  const uint64_t n = keys.size();
  for (const auto& [begin, end] : std::vector<std::pair<uint64_t, uint64_t>>{{0, n},
                                                                             {0, 0},
                                                                             {n, n},
                                                                             {0, 1},
                                                                             {0, n / 2},
                                                                             {n / 3, n / 2},
                                                                             {n / 2, n},
                                                                             {n / 2, n / 2},
                                                                             {n - 1, n},
                                                                             {1, n - 1}}) {
    if (begin > end) continue;
    std::vector<bool> expected(n);
    for (uint64_t r = begin; r < end; ++r) expected[order[r]] = true;
    for (const size_t leaf_elements : {keys.size(), size_t{500}, size_t{30'001}}) {
      if (leaf_elements < n / 20) continue;
      const auto found = KeepBetween(keys, begin, end, leaf_elements);
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(found->kept, expected)
          << "[" << begin << ", " << end << ") of " << n << " in leaves of " << leaf_elements;
    }
  }
}

Keys RandomKeys(size_t size, int distinct) {
  std::mt19937_64 random(kSeed);
  std::normal_distribution<double> normal;
  Keys keys(size);
  for (uint32_t& key : keys) {
    const double x = normal(random);
    key = MagnitudeKey(distinct == 0 ? x : std::round(x * distinct) / distinct);
  }
  return keys;
}

TEST(RankEdgesTest, OfDistinctKeys) {
  ExpectAsSorted(RandomKeys(1, 0));
  ExpectAsSorted(RandomKeys(5000, 0));
}

TEST(RankEdgesTest, OfManyTies) {
  ExpectAsSorted(RandomKeys(5000, 1));
  ExpectAsSorted(RandomKeys(5000, 100));
  ExpectAsSorted(RandomKeys(70'000, 2));
}

TEST(RankEdgesTest, OfEqualKeys) {
  ExpectAsSorted(Keys(1000, 0));
  ExpectAsSorted(Keys(1000, MagnitudeKey(0.5)));
  ExpectAsSorted(Keys(1000, MagnitudeKey(1e300)));  // infinite as float32
}

TEST(RankEdgesTest, WhatCannotBeIsInternal) {
  SerialExecutor executor;
  const KeyLoader none = [](uint32_t, uint64_t, uint64_t, uint32_t*) {};
  for (const std::vector<double>& state :
       {std::vector<double>{0}, {9}, {1, 2}, {1, 0, 5, -7, 0, 0, 0}, {0.5}}) {
    EXPECT_EQ(AnalyzeRanks(state, 1, 0, executor, none).status().code(),
              absl::StatusCode::kInternal);
    EXPECT_EQ(EdgesOfLeaf(state, 0, 0, executor, none).status().code(),
              absl::StatusCode::kInternal);
  }
  EXPECT_FALSE(EdgesOfLeaf({}, 0, 0, executor, none).ok());
  const RankEdge beyond{0, 4};
  EXPECT_FALSE(ReduceRanks({}, {&beyond, 1}, {{}, {{7, 3}}, 3}).ok());
  // Leaves that have fewer ties than the histogram said.
  const std::vector<double> ties = {2, 0, 5, 7, 0, 0, 3};
  EXPECT_FALSE(ReduceRanks(ties, {}, {{{0, 0, {1}}, {0, 1, {1}}}, {}, 9}).ok());
  EXPECT_TRUE(ReduceRanks(ties, {}, {{{0, 0, {1}}, {0, 1, {2}}}, {}, 9}).ok());
}

}  // namespace
}  // namespace merganser
