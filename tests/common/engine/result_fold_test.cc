#include "common/engine/result_fold.h"

#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

UnitResult Result(uint32_t round, uint32_t unit, std::vector<GroupCounts> counts) {
  UnitResult result;
  result.round = round;
  result.unit = unit;
  result.counts = std::move(counts);
  result.bytes_read = 100 + unit;
  return result;
}

TEST(ResultFold, HistogramsOfARoundAndGroupAreOne) {
  ResultFold fold;
  fold.Add(Result(0, 3, {{0, {{1, 10}, {5, 50}}}, {1, {{7, 7}}}}));
  fold.Add(Result(0, 2, {{0, {{1, 1}, {2, 2}}}}));
  fold.Add(Result(1, 3, {{0, {{9, 9}}}}));
  fold.Add(Result(0, 4, {{1, {{6, 1}, {7, 1}}}, {2, {{4, 4}}}}));
  const std::vector<UnitResult> results = fold.Take();
  ASSERT_THAT(results, SizeIs(4));
  EXPECT_EQ(results[0].unit, 3u);
  ASSERT_THAT(results[0].counts, SizeIs(2));
  EXPECT_THAT(results[0].counts[0].counts, ElementsAre(Pair(1, 11), Pair(2, 2), Pair(5, 50)));
  EXPECT_THAT(results[0].counts[1].counts, ElementsAre(Pair(6, 1), Pair(7, 8)));
  EXPECT_EQ(results[1].unit, 2u);
  EXPECT_THAT(results[1].counts, IsEmpty());
  EXPECT_EQ(results[1].bytes_read, 102u);  // all else stays
  ASSERT_THAT(results[2].counts, SizeIs(1));
  EXPECT_THAT(results[2].counts[0].counts, ElementsAre(Pair(9, 9)));
  ASSERT_THAT(results[3].counts, SizeIs(1));
  EXPECT_EQ(results[3].counts[0].group, 2u);
}

TEST(ResultFold, AUnitAndRoundCountsOnce) {
  ResultFold fold;
  fold.Add(Result(0, 3, {{0, {{1, 10}}}}));
  fold.Add(Result(0, 3, {{0, {{1, 10}}}}));
  fold.Add(Result(1, 3, {}));
  const std::vector<UnitResult> results = fold.Take();
  ASSERT_THAT(results, SizeIs(2));
  EXPECT_THAT(results[0].counts[0].counts, ElementsAre(Pair(1, 10)));
  EXPECT_THAT(fold.Take(), IsEmpty());
}

// Another proof of a piece is one that its store may hold; a receipt without one says no more than
// the first.
TEST(ResultFold, ReceiptsOfAUnitThatWasDoneAgainAreKept) {
  ResultFold fold;
  UnitResult first = Result(1, 3, {});
  first.receipts = {{0, 10, "a"}, {10, 5, "b"}, {15, 5, ""}};
  UnitResult second = first;
  second.receipts = {{0, 10, "c"}, {10, 5, "b"}, {16, 4, ""}};
  fold.Add(first);
  fold.Add(second);
  const std::vector<UnitResult> results = fold.Take();
  ASSERT_THAT(results, SizeIs(1));
  first.receipts.push_back({0, 10, "c"});
  EXPECT_EQ(results[0].receipts, first.receipts);
}

TEST(ResultFold, AGroupThatAResultHasTwiceIsOne) {
  ResultFold fold;
  fold.Add(Result(0, 0, {{0, {{1, 1}}}, {0, {{1, 2}}}}));
  const std::vector<UnitResult> results = fold.Take();
  ASSERT_THAT(results[0].counts, SizeIs(1));
  EXPECT_THAT(results[0].counts[0].counts, ElementsAre(Pair(1, 3)));
}

// Units by the thousand of a wide scope: what is kept is one histogram.
TEST(ResultFold, WhatIsKeptDoesNotGrowWithTheUnits) {
  ResultFold fold;
  Counts wide;
  for (uint64_t key = 0; key < 1000; ++key) wide.emplace_back(key, 1);
  for (uint32_t unit = 0; unit < 1000; ++unit) fold.Add(Result(0, unit, {{0, wide}}));
  const std::vector<UnitResult> results = fold.Take();
  EXPECT_THAT(results, SizeIs(1000));
  EXPECT_LE(CountsBytes(results), 2 * 1000 * sizeof(Counts::value_type));
  EXPECT_EQ(results[0].counts[0].counts[17], std::pair(uint64_t{17}, uint64_t{1000}));
}

}  // namespace
}  // namespace merganser
