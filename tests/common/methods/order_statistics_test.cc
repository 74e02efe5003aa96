// Order statistics by narrowing, against a sort.
#include "common/methods/order_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/base/executor.h"

namespace merganser {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

constexpr uint64_t kSeed = 7411;

using Keys = std::vector<uint32_t>;

// Leaf by leaf through both rounds, as the engine would.
absl::StatusOr<std::vector<OrderStatistic>> Find(const std::vector<Keys>& tracks,
                                                 const std::vector<WantedRank>& wanted,
                                                 size_t leaf_elements, Executor& executor) {
  const size_t size = tracks[0].size();
  const auto round = [&](const KeyRanges& ranges) {
    Counts counts;
    for (size_t begin = 0; begin < size; begin += leaf_elements) {
      const size_t count = std::min(leaf_elements, size - begin);
      AddCounts(CountKeys(ranges, static_cast<uint32_t>(tracks.size()), count, executor,
                          [&](uint32_t track, uint64_t at, uint64_t n, uint32_t* keys) {
                            EXPECT_LE(n, kKeyChunk);
                            std::copy_n(tracks[track].data() + begin + at, n, keys);
                          }),
                counts);
    }
    return counts;
  };
  const Counts upper = round({});
  for (uint32_t t = 0; t < tracks.size(); ++t) EXPECT_EQ(TrackTotal(upper, t), size);
  absl::StatusOr<KeyRanges> ranges = FindRanges(upper, wanted);
  if (!ranges.ok()) return ranges.status();
  std::vector<double> values;
  AppendRanges(*ranges, values);
  EXPECT_EQ(values.size(), wanted.size() * kRangeValues);
  ranges = ReadRanges(values);
  if (!ranges.ok()) return ranges.status();
  return FindKeys(round(*ranges), *ranges);
}

OrderStatistic BySorting(Keys keys, uint64_t rank) {
  std::sort(keys.begin(), keys.end());
  const uint32_t key = keys[rank];
  const auto [first, last] = std::equal_range(keys.begin(), keys.end(), key);
  return {key, static_cast<uint64_t>(first - keys.begin()), static_cast<uint64_t>(last - first)};
}

void ExpectAsSorted(const std::vector<Keys>& tracks, const std::vector<WantedRank>& wanted) {
  SerialExecutor serial;
  ThreadPool pool(3);
  for (const size_t leaf_elements : {tracks[0].size(), size_t{1000}, size_t{4097}}) {
    for (Executor* executor : {static_cast<Executor*>(&serial), static_cast<Executor*>(&pool)}) {
      const auto found = Find(tracks, wanted, leaf_elements, *executor);
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_EQ(found->size(), wanted.size());
      for (size_t i = 0; i < wanted.size(); ++i) {
        EXPECT_EQ((*found)[i], BySorting(tracks[wanted[i].track], wanted[i].rank))
            << "track " << wanted[i].track << ", rank " << wanted[i].rank;
      }
    }
  }
}

Keys RandomMagnitudes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Keys keys(size);
  for (uint32_t& key : keys) key = MagnitudeKey(normal(random));
  return keys;
}

TEST(MagnitudeKeyTest, OrdersAsMagnitudesDo) {
  EXPECT_EQ(MagnitudeKey(0.0), 0u);
  EXPECT_EQ(MagnitudeKey(-0.0), 0u);
  EXPECT_EQ(MagnitudeKey(-1.5), MagnitudeKey(1.5));
  EXPECT_EQ(KeyMagnitude(MagnitudeKey(-1.5)), 1.5);
  const double ascending[] = {0, 1e-45, 1e-40, 1e-38, 0.5, 0.75, 1, 1 + 1e-6, 3e38, 1e39};
  for (size_t i = 1; i < std::size(ascending); ++i) {
    EXPECT_LT(MagnitudeKey(ascending[i - 1]), MagnitudeKey(-ascending[i])) << ascending[i];
  }
  // To nearest even: half an ulp above 1 is 1, three halves are two ulps.
  EXPECT_EQ(MagnitudeKey(1 + 0x1p-24), MagnitudeKey(1));
  EXPECT_EQ(MagnitudeKey(1 + 3 * 0x1p-24), MagnitudeKey(1 + 0x1p-22));
}

TEST(OrderStatisticsTest, OfOneKey) {
  ExpectAsSorted({{0}}, {{0, 0}});
  ExpectAsSorted({{0xFFFFFFFF}}, {{0, 0}});
  ExpectAsSorted({{0x12345678}, {0x12340000}}, {{1, 0}, {0, 0}});
}

TEST(OrderStatisticsTest, OfRandomMagnitudes) {
  const std::vector<Keys> tracks = {RandomMagnitudes(10007, kSeed),
                                    RandomMagnitudes(10007, kSeed + 1)};
  ExpectAsSorted(tracks, {{0, 0}, {0, 10006}, {0, 5003}, {1, 0}, {1, 2500}, {1, 7501}});
}

TEST(OrderStatisticsTest, OfSeveralRanksInOneBin) {
  Keys keys = RandomMagnitudes(5000, kSeed);
  for (uint32_t& key : keys) key = 0x3F800000 | (key & 0xFFFF);
  ExpectAsSorted({keys}, {{0, 1}, {0, 2500}, {0, 2501}, {0, 4999}});
}

TEST(OrderStatisticsTest, OfThousandsOfTies) {
  Keys keys(9000, MagnitudeKey(0.25));
  std::fill_n(keys.begin() + 100, 3000, 0u);
  std::fill_n(keys.begin() + 5000, 10, MagnitudeKey(7));
  ExpectAsSorted({keys}, {{0, 0}, {0, 2999}, {0, 3000}, {0, 8989}, {0, 8990}, {0, 8999}});
}

TEST(OrderStatisticsTest, OfALeafThatIsCutIntoParts) {
  const Keys keys = RandomMagnitudes((size_t{1} << 20) + 77, kSeed);
  SerialExecutor serial;
  ThreadPool pool(3);
  const std::vector<WantedRank> wanted = {{0, 0}, {0, 300'000}, {0, 1'048'652}};
  const auto one = Find({keys}, wanted, keys.size(), serial);
  const auto many = Find({keys}, wanted, 100'003, pool);
  ASSERT_TRUE(one.ok() && many.ok());
  EXPECT_EQ(*one, *many);
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ((*one)[i], BySorting(keys, wanted[i].rank));
  }
}

TEST(OrderStatisticsTest, ATrackWithoutWantedRanksIsNotCountedTwice) {
  SerialExecutor executor;
  const KeyRanges ranges = {{1, 5, 0, 0}};
  const Counts counts =
      CountKeys(ranges, 3, 4, executor, [](uint32_t track, uint64_t, uint64_t n, uint32_t* keys) {
        EXPECT_EQ(track, 1u);
        std::fill_n(keys, n, 5u << 16 | 9);
      });
  EXPECT_THAT(counts, ElementsAre(Pair(9, 4)));
}

// Methods that visit whole rows count as they go, and may pass elements over.
TEST(KeyCounterTest, AddsPartsInTrackOrder) {
  KeyCounter first({}, 0), second({}, 1), more({}, 1);
  first.Add(Keys{0x10000, 0x1FFFF, 0x30000});
  second.Add(Keys{0x20000});
  more.Add(Keys{0x20001, 0});
  second.Add(more);
  Counts counts;
  first.AppendTo(counts);
  second.AppendTo(counts);
  EXPECT_THAT(counts, ElementsAre(Pair(1, 2), Pair(3, 1), Pair(0x10000, 1), Pair(0x10002, 2)));
  EXPECT_EQ(TrackTotal(counts, 0), 3u);
  EXPECT_EQ(TrackTotal(counts, 1), 3u);
  EXPECT_EQ(TrackTotal(counts, 2), 0u);
  EXPECT_FALSE(first.counts_nothing());
  EXPECT_TRUE(KeyCounter({{1, 0, 0, 0}}, 0).counts_nothing());
}

TEST(OrderStatisticsTest, ARankThatIsNotThereIsAnError) {
  const Counts counts = {{7, 3}};
  EXPECT_TRUE(FindRanges(counts, std::vector<WantedRank>{{0, 2}}).ok());
  const auto beyond = FindRanges(counts, std::vector<WantedRank>{{0, 3}});
  EXPECT_EQ(beyond.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(beyond.status().message()), HasSubstr("histogram of 3 keys"));
  EXPECT_FALSE(FindRanges(counts, std::vector<WantedRank>{{1, 0}}).ok());
  EXPECT_FALSE(FindKeys(counts, {{0, 7, 9, 2}}).ok());
  EXPECT_FALSE(FindKeys({}, {{0, 7, 0, 0}}).ok());
}

TEST(OrderStatisticsTest, RangesThatCannotBeAreRefused) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(ReadRanges(std::vector<double>{0, 65535, 12, 12}).ok());
  for (const std::vector<double>& values : {std::vector<double>{0, 0, 0},
                                            {0, 65536, 0, 0},
                                            {-1, 0, 0, 0},
                                            {0, 0, 1, 2},
                                            {0, 0, 1e300, 0},
                                            {0, kNaN, 0, 0},
                                            {kNaN, 0, 0, 0},
                                            {0, 0, kNaN, 0},
                                            {0, 0, 0, kNaN}}) {
    EXPECT_EQ(ReadRanges(values).status().code(), absl::StatusCode::kInternal);
  }
  const auto none = ReadRanges({});
  ASSERT_TRUE(none.ok());
  EXPECT_THAT(*none, IsEmpty());
}

TEST(OrderStatisticsTest, MemoryIsWithinWhatIsDeclared) {
  SerialExecutor executor;
  const Keys keys = RandomMagnitudes(300'000, kSeed);
  const Counts counts = CountKeys({}, 2, keys.size(), executor,
                                  [&](uint32_t, uint64_t at, uint64_t n, uint32_t* out) {
                                    std::copy_n(keys.data() + at, n, out);
                                  });
  EXPECT_LE(counts.capacity() * sizeof(counts[0]), KeyCountsBytes(keys.size(), 2, 1));
  EXPECT_GE(CountKeysBytes(keys.size(), 2, 1), 2u * 65536 * 8);
  EXPECT_LT(KeyCountsBytes(10, 1, 3), 200u);
}

}  // namespace
}  // namespace merganser
