// How units are cut into the whole pieces that a store wants.
#include "common/plan/pieces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/plan/digest.h"
#include "common/storage/pieces.h"
#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kSeed = 11;
constexpr uint64_t kMebi = 1 << 20;

// As S3 has them.
constexpr StoreTraits kS3 = {.whole_pieces = true,
                             .least_piece = 5 * kMebi,
                             .most_piece = 5 * 1024 * kMebi,
                             .most_pieces = 10'000,
                             .good_piece = 16 * kMebi};

// One shard and one unit of segments of so many bytes.
Plan PlanOfSegments(const std::vector<uint64_t>& sizes, const StoreTraits& output) {
  Plan plan;
  plan.output = output;
  Unit unit;
  for (const uint64_t size : sizes) {
    Segment segment;
    segment.bytes_out = size;
    segment.memory = 4 * size;
    unit.segments.push_back(segment);
    unit.end += size;
  }
  plan.tensors.emplace_back();  // of all segments
  plan.shards.push_back({"model.safetensors", "", unit.end});
  plan.units.push_back(unit);
  return plan;
}

StoreTraits Pieces(uint64_t least, uint64_t wanted) {
  return {
      .whole_pieces = true, .least_piece = least, .most_piece = 3 * wanted, .good_piece = wanted};
}

std::vector<uint64_t> EndsOf(const Plan& plan) { return UnitPieceEnds(plan, plan.units[0]); }

TEST(PlanPiecesTest, FreeRangesHaveNone) {
  const Plan plan = PlanOfSegments({100, 200}, {});
  EXPECT_THAT(EndsOf(plan), IsEmpty());
  EXPECT_THAT(ShardPieceEnds(plan), ElementsAre(IsEmpty()));
  EXPECT_EQ(UnitMemory(plan, plan.units[0]), 800u);
}

TEST(PlanPiecesTest, SmallSegmentsAreJoinedUpToTheSizeThatIsWanted) {
  EXPECT_THAT(EndsOf(PlanOfSegments({40, 40, 40, 40, 40, 40}, Pieces(10, 100))),
              ElementsAre(120, 240));
}

TEST(PlanPiecesTest, LargeSegmentsAreCutEvenlyAndEndAPiece) {
  EXPECT_THAT(EndsOf(PlanOfSegments({350, 100}, Pieces(10, 100))), ElementsAre(116, 232, 350, 450));
  // The first of a run takes what was left before it.
  EXPECT_THAT(EndsOf(PlanOfSegments({60, 240}, Pieces(10, 100))), ElementsAre(100, 200, 300));
}

TEST(PlanPiecesTest, ARestThatIsTooSmallGoesWithThePieceBeforeIt) {
  Plan plan = PlanOfSegments({100, 9}, Pieces(10, 100));
  EXPECT_THAT(EndsOf(plan), ElementsAre(100, 109));  // an object's last may be small
  plan.shards[0].size += 1000;
  EXPECT_THAT(EndsOf(plan), ElementsAre(109));
  plan = PlanOfSegments({100, 10}, Pieces(10, 100));
  plan.shards[0].size += 1000;
  EXPECT_THAT(EndsOf(plan), ElementsAre(100, 110));
}

TEST(PlanPiecesTest, PiecesThatSpanSegmentsAreSharedAndCountAsMemory) {
  const Plan plan = PlanOfSegments({60, 50, 300, 20, 20}, Pieces(10, 100));
  const Unit& unit = plan.units[0];
  const std::vector<uint64_t> ends = EndsOf(plan);
  EXPECT_THAT(ends, ElementsAre(110, 210, 310, 410, 450));
  const std::vector<SharedPiece> shared = SharedPieces(unit, ends);
  ASSERT_EQ(shared.size(), 2u);
  EXPECT_EQ(shared[0].segment, 0u);
  EXPECT_EQ(shared[0].end, 110u);
  EXPECT_EQ(shared[1].segment, 3u);
  EXPECT_EQ(shared[1].begin, 410u);
  // The segment of 300 has no shared piece beside it.
  EXPECT_EQ(UnitMemory(plan, unit),
            std::max<uint64_t>(4 * 300, 4 * 60 + 110 + 2 * kBufferRounding));
}

TEST(PlanPiecesTest, RandomUnitsAreMadeOfPiecesThatStoresTake) {
  std::mt19937_64 random(kSeed);
  for (int trial = 0; trial < 2000; ++trial) {
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << " trial " << trial);
    const uint64_t least = 1 + random() % 50;
    const StoreTraits output = Pieces(least, least + random() % 200);
    std::vector<uint64_t> sizes;
    const size_t count = 1 + random() % 12;
    const uint64_t longest = uint64_t{1} << (1 + random() % 12);
    for (size_t i = 0; i < count; ++i) sizes.push_back(random() % longest);
    Plan plan = PlanOfSegments(sizes, output);
    Unit& unit = plan.units[0];
    if (random() % 2 == 0) {
      if (unit.end < least) continue;  // no unit but the last is
      plan.shards[0].size += 1 + random() % 1000;
    }
    const std::vector<uint64_t> ends = EndsOf(plan);
    if (unit.end == 0) {
      EXPECT_THAT(ends, IsEmpty());
      continue;
    }
    ASSERT_FALSE(ends.empty());
    EXPECT_EQ(ends.back(), unit.end);
    // As the store of such traits judges, the rest of the shard being one more piece.
    std::vector<uint64_t> all = ends;
    StoreTraits judge = output;
    if (plan.shards[0].size > unit.end) {
      all.push_back(plan.shards[0].size);
      judge.most_piece = std::max(judge.most_piece, plan.shards[0].size - unit.end);
    }
    EXPECT_TRUE(CheckPieces({"k", plan.shards[0].size, all}, judge, "k").ok())
        << CheckPieces({"k", plan.shards[0].size, all}, judge, "k");
    // Shared is what no segment holds alone; in no segment begin two, and none are open twice.
    size_t shared = 0;
    uint64_t begin = 0;
    for (const uint64_t end : ends) {
      uint64_t at = 0;
      bool within = false;
      for (const uint64_t size : sizes) {
        within |= at <= begin && end <= at + size;
        at += size;
      }
      shared += !within;
      begin = end;
    }
    const std::vector<SharedPiece> found = SharedPieces(unit, ends);
    EXPECT_EQ(found.size(), shared);
    for (size_t i = 1; i < found.size(); ++i) EXPECT_LT(found[i - 1].segment, found[i].segment);
  }
}

TEST(PlanPiecesTest, UnitsAreNoSmallerThanAPiece) {
  std::vector<FakeTensor> tensors;
  for (int t = 0; t < 40; ++t) {
    tensors.push_back({absl::StrCat("w", t), DType::kBF16, {1 << 20}});
  }
  const auto plan = PlanOf(With(kLinear, "unit_size: 1"), FakeModels(tensors), kS3);
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const Unit& unit : plan->units) {
    if (unit.end == plan->shards[unit.shard].size) continue;
    EXPECT_GE(unit.end - unit.begin, 5 * kMebi);
  }
  const auto ends = ShardPieceEnds(*plan);
  EXPECT_TRUE(CheckPieces({"k", plan->shards[0].size, ends[0]}, kS3, "k").ok());
}

TEST(PlanPiecesTest, AShardOfTerabytesHasNoMorePiecesThanTheStoreTakes) {
  std::vector<FakeTensor> tensors;
  for (int t = 0; t < 64; ++t) {
    tensors.push_back({absl::StrCat("w", t), DType::kBF16, {uint64_t{1} << 33}});
  }
  const auto plan = PlanOf(With(kLinear, "max_shard_size: 2TiB"), FakeModels(tensors), kS3);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->shards.size(), 1u);
  const auto ends = ShardPieceEnds(*plan);
  EXPECT_LE(ends[0].size(), 10'000u);
  EXPECT_GE(ends[0].size(), 2'000u);
  const absl::Status taken = CheckPieces({"k", plan->shards[0].size, ends[0]}, kS3, "k");
  EXPECT_TRUE(taken.ok()) << taken;
}

TEST(PlanPiecesTest, APlanForABucketIsThatForADisk) {
  std::vector<FakeTensor> tensors;
  for (int t = 0; t < 40; ++t) {
    tensors.push_back({absl::StrCat("w", t), DType::kBF16, {1 << 20}});
  }
  const auto disk = PlanOf(kLinear, FakeModels(tensors));
  const auto bucket = PlanOf(kLinear, FakeModels(tensors), kS3);
  ASSERT_TRUE(disk.ok() && bucket.ok());
  EXPECT_EQ(bucket->digest, disk->digest);
  EXPECT_EQ(bucket->units.size(), disk->units.size());
}

TEST(PlanPiecesTest, AStoreOfEqualPiecesIsRefused) {
  StoreTraits equal = kS3;
  equal.equal_pieces = true;
  const auto plan = PlanOf(kLinear, FakeModels({{"w", DType::kBF16, {8, 8}}}), equal);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("pieces of one size"));
}

TEST(PlanPiecesTest, AStoreThatIsOnlyReadIsRefused) {
  const StoreTraits only_read{.read_only = true};
  const auto plan = PlanOf(kLinear, FakeModels({{"w", DType::kBF16, {8, 8}}}), only_read);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("only read"));
}

}  // namespace
}  // namespace merganser
