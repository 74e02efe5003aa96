#include "common/engine/result_record.h"

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/small_plan.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

Plan TwoRounds() {
  Plan plan = TwoShardPlan();
  plan.rounds = 2;
  plan.groups.resize(3);
  for (PlannedTensor& tensor : plan.tensors) {
    tensor.group = 1;
    tensor.leaves = 4;
  }
  plan.units[2].begin = 64;
  plan.units[2].end = 320;
  return plan;
}

// One of a round that analyzes and one that writes, with every field set.
std::vector<UnitResult> SomeResults(const Plan& plan) {
  UnitResult analyzed;
  analyzed.unit = 1;
  analyzed.sums = {{0, 0, {1.5, -2}}, {1, 3, {}}};
  analyzed.counts = {{2, {{3, 7}, {uint64_t{1} << 40, 2}}}};
  analyzed.keepsake_digests = {"", std::string(32, 'b')};
  analyzed.groups = {{1, {{"threshold", {0.5}, false, true}}}};
  analyzed.bytes_read = 600;
  analyzed.worker = std::string("na\0me", 5);
  UnitResult written;
  written.unit = 2;
  written.round = 1;
  for (size_t i = 0; i < plan.units[2].segments.size(); ++i) {
    written.segment_digests.push_back(std::string(32, static_cast<char>('a' + i)));
  }
  written.receipts = {{64, 128, std::string("e\0tag", 5)}, {192, 128, ""}};
  LeafReport leaf;
  leaf.tensor = 2;
  leaf.leaf = 1;
  leaf.fields = {{"coherence", {0.25}, false}, {"sigma", {3.5, 1.25}, true}};
  leaf.seconds = 0.5;
  written.leaves = {leaf};
  written.bytes_written = 256;
  written.seconds = 1.5;
  written.stages = {0.25, 0.5, 1.25, 0.125, 0.0625};
  return {analyzed, written};
}

TEST(ResultRecord, RoundTripKeepsEverything) {
  const Plan plan = TwoRounds();
  const std::vector<UnitResult> results = SomeResults(plan);
  const auto back = ParseResults(PackResults(plan.digest, results), plan);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), 2u);
  const UnitResult& analyzed = (*back)[0];
  EXPECT_EQ(analyzed.unit, 1u);
  EXPECT_EQ(analyzed.round, 0u);
  ASSERT_EQ(analyzed.sums.size(), 2u);
  EXPECT_EQ(analyzed.sums[0].sums, (std::vector<double>{1.5, -2}));
  EXPECT_EQ(analyzed.sums[1].tensor, 1u);
  EXPECT_EQ(analyzed.sums[1].leaf, 3u);
  ASSERT_EQ(analyzed.counts.size(), 1u);
  EXPECT_EQ(analyzed.counts[0].group, 2u);
  EXPECT_EQ(analyzed.counts[0].counts, results[0].counts[0].counts);
  EXPECT_EQ(analyzed.keepsake_digests, results[0].keepsake_digests);
  ASSERT_EQ(analyzed.groups.size(), 1u);
  EXPECT_EQ(analyzed.groups[0].group, 1u);
  EXPECT_TRUE(analyzed.groups[0].fields[0].adds);
  EXPECT_EQ(analyzed.bytes_read, 600u);
  EXPECT_EQ(analyzed.worker, results[0].worker);
  EXPECT_EQ(analyzed.Checksum(), results[0].Checksum());
  const UnitResult& written = (*back)[1];
  EXPECT_EQ(written.round, 1u);
  EXPECT_EQ(written.segment_digests, results[1].segment_digests);
  ASSERT_EQ(written.receipts.size(), 2u);
  EXPECT_EQ(written.receipts[0].offset, 64u);
  EXPECT_EQ(written.receipts[0].size, 128u);
  EXPECT_EQ(written.receipts[0].proof, results[1].receipts[0].proof);
  ASSERT_EQ(written.leaves.size(), 1u);
  EXPECT_EQ(written.leaves[0].tensor, 2u);
  EXPECT_EQ(written.leaves[0].leaf, 1u);
  EXPECT_EQ(written.leaves[0].fields[1].key, "sigma");
  EXPECT_EQ(written.leaves[0].fields[1].values, (std::vector<double>{3.5, 1.25}));
  EXPECT_TRUE(written.leaves[0].fields[1].list);
  EXPECT_EQ(written.leaves[0].seconds, 0.5);
  EXPECT_EQ(written.bytes_written, 256u);
  EXPECT_EQ(written.seconds, 1.5);
  EXPECT_EQ(written.stages, results[1].stages);
}

// SomeResults as the version before stages were told packed them, in hexadecimal digits.
constexpr std::string_view kEarlierRecord =
    "4d524750524f473120000000000000006464646464646464646464646464646464646464646464646464646464"
    "646464020000000000000001000000000000000000000000000000020000000000000000000000000000000000"
    "0000000000000200000000000000000000000000f83f00000000000000c0010000000000000003000000000000"
    "000000000000000000010000000000000002000000000000000200000000000000030000000000000007000000"
    "000000000000000000010000020000000000000002000000000000000000000000000000200000000000000062"
    "626262626262626262626262626262626262626262626262626262626262620000000000000000000000000000"
    "000000000000000000000100000000000000010000000000000001000000000000000900000000000000746872"
    "6573686f6c640100000000000000000000000000e03f0000000000000000010000000000000058020000000000"
    "000000000000000000000000000000000005000000000000006e61006d65020000000000000001000000000000"
    "000000000000000000000000000000000000000000000000000200000000000000200000000000000061616161"
    "616161616161616161616161616161616161616161616161616161612000000000000000626262626262626262"
    "626262626262626262626262626262626262626262626202000000000000004000000000000000800000000000"
    "000005000000000000006500746167c00000000000000080000000000000000000000000000000010000000000"
    "00000200000000000000010000000000000002000000000000000900000000000000636f686572656e63650100"
    "000000000000000000000000d03f0000000000000000000000000000000005000000000000007369676d610200"
    "0000000000000000000000000c40000000000000f43f01000000000000000000000000000000000000000000e0"
    "3f000000000000000000000000000000000001000000000000000000000000f83f000000000000000065396433"
    "37663738653230616330336137323534623865326165666264373935";

// The same by the version before histograms' keys were told as distances.
constexpr std::string_view kSecondRecord =
    "4d524750524f473220000000000000006464646464646464646464646464646464646464646464646464646464"
    "646464020000000000000001000000000000000000000000000000020000000000000000000000000000000000"
    "0000000000000200000000000000000000000000f83f00000000000000c0010000000000000003000000000000"
    "000000000000000000010000000000000002000000000000000200000000000000030000000000000007000000"
    "000000000000000000010000020000000000000002000000000000000000000000000000200000000000000062"
    "626262626262626262626262626262626262626262626262626262626262620000000000000000000000000000"
    "000000000000000000000100000000000000010000000000000001000000000000000900000000000000746872"
    "6573686f6c640100000000000000000000000000e03f0000000000000000010000000000000058020000000000"
    "000000000000000000000000000000000005000000000000006e61006d65000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000000200000000000000010000000000000000000000"
    "000000000000000000000000000000000000000002000000000000002000000000000000616161616161616161"
    "616161616161616161616161616161616161616161616120000000000000006262626262626262626262626262"
    "626262626262626262626262626262626262020000000000000040000000000000008000000000000000050000"
    "00000000006500746167c000000000000000800000000000000000000000000000000100000000000000020000"
    "0000000000010000000000000002000000000000000900000000000000636f686572656e636501000000000000"
    "00000000000000d03f0000000000000000000000000000000005000000000000007369676d6102000000000000"
    "000000000000000c40000000000000f43f01000000000000000000000000000000000000000000e03f00000000"
    "0000000000000000000000000001000000000000000000000000f83f0000000000000000000000000000d03f00"
    "0000000000e03f000000000000f43f000000000000c03f000000000000b03f6261396332333531323438623661"
    "656335643232353965343934336234313466";

std::string FromHex(std::string_view digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

TEST(ResultRecord, WhatTheSecondVersionWroteIsRead) {
  const Plan plan = TwoRounds();
  const auto back = ParseResults(FromHex(kSecondRecord), plan);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(PackResults(plan.digest, *back), PackResults(plan.digest, SomeResults(plan)));
}

TEST(ResultRecord, HistogramsTakeFewBytes) {
  const Plan plan = TwoRounds();
  UnitResult result;
  result.unit = 1;
  const size_t without = PackResult(plan.digest, result).size();
  result.counts = {{0, {}}};
  for (uint64_t key = 0; key < 1000; ++key) result.counts[0].counts.emplace_back(100 * key, key);
  const std::string bytes = PackResult(plan.digest, result);
  EXPECT_LT(bytes.size() - without, 3100u);
  const auto back = ParseResult(bytes, plan);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->counts[0].counts, result.counts[0].counts);
}

// Keys that do not ascend come back as others or not at all, whatever they were meant to be.
TEST(ResultRecord, AHistogramWhoseKeysDoNotAscendIsRefused) {
  const Plan plan = TwoRounds();
  UnitResult result;
  result.unit = 1;
  result.counts = {{0, {{5, 1}, {5, 2}}}};
  EXPECT_TRUE(absl::IsDataLoss(ParseResult(PackResult(plan.digest, result), plan).status()));
  result.counts = {{0, {{5, 1}, {4, 2}}}};
  EXPECT_TRUE(absl::IsDataLoss(ParseResult(PackResult(plan.digest, result), plan).status()));
}

// Whole, and by a version that is not there yet: nobody is told that it is damaged.
TEST(ResultRecord, WhatANewerVersionWroteIsRefusedAsThat) {
  const Plan plan = TwoRounds();
  std::string bytes = PackResults(plan.digest, SomeResults(plan));
  bytes.resize(bytes.size() - 32);
  bytes.replace(0, 8, "MRGPROG9");
  bytes += DigestHex(bytes);
  const absl::Status status = ParseResults(bytes, plan).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("another version of merganser"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("found results"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("MRGPROG9"));
}

TEST(ResultRecord, OfOneUnitTheResultsOfTwoAreRefused) {
  const Plan plan = TwoRounds();
  EXPECT_TRUE(
      absl::IsDataLoss(ParseResult(PackResults(plan.digest, SomeResults(plan)), plan).status()));
  EXPECT_TRUE(absl::IsDataLoss(ParseResult(PackResults(plan.digest, {}), plan).status()));
}

TEST(ResultRecord, WhatAnEarlierVersionWroteIsRead) {
  const Plan plan = TwoRounds();
  const auto back = ParseResults(FromHex(kEarlierRecord), plan);
  ASSERT_TRUE(back.ok()) << back.status();
  std::vector<UnitResult> expected = SomeResults(plan);
  for (UnitResult& result : expected) result.stages = {};
  EXPECT_EQ(PackResults(plan.digest, *back), PackResults(plan.digest, expected));
}

TEST(ResultRecord, AnEarlierRecordIsNoLongerOrShorterThanItWas) {
  const Plan plan = TwoRounds();
  std::string bytes = PackResults(plan.digest, SomeResults(plan));
  bytes.resize(bytes.size() - 32);
  bytes.replace(0, 8, "MRGPROG1");
  bytes += DigestHex(bytes);
  EXPECT_TRUE(absl::IsDataLoss(ParseResults(bytes, plan).status()));
}

TEST(ResultRecord, EveryCutAndEveryFlippedByteIsNoticed) {
  const Plan plan = TwoRounds();
  const std::string bytes = PackResults(plan.digest, SomeResults(plan));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(ParseResults(bytes.substr(0, size), plan).status())) << size;
  }
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    EXPECT_TRUE(absl::IsDataLoss(ParseResults(flipped, plan).status())) << at;
  }
  EXPECT_TRUE(absl::IsDataLoss(ParseResults(bytes + "x", plan).status()));
}

TEST(ResultRecord, AnotherPlansIsRefusedWithBothDigests) {
  const Plan plan = TwoRounds();
  const std::string other(32, 'e');
  const absl::Status status = ParseResults(PackResults(other, {}), plan).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(plan.digest));
  EXPECT_THAT(std::string(status.message()), HasSubstr(other));
}

TEST(ResultRecord, WhatThePlanDoesNotHaveIsRefused) {
  const Plan plan = TwoRounds();
  const auto refused = [&](auto change) {
    std::vector<UnitResult> results = SomeResults(plan);
    change(results);
    const absl::Status status = ParseResults(PackResults(plan.digest, results), plan).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  };
  refused([](auto& r) { r[0].unit = 99; });
  refused([](auto& r) { r[0].round = 2; });
  refused([](auto& r) { r[0].round = 1; });  // a round that writes, without digests
  refused([](auto& r) { r[1].segment_digests.pop_back(); });
  refused([](auto& r) { r[0].sums[0].tensor = 99; });
  refused([](auto& r) { r[0].counts[0].group = 3; });
  refused([](auto& r) { r[0].sums[1].leaf = 4; });
  refused([](auto& r) { r[0].groups[0].group = 3; });
  refused([](auto& r) { r[0].keepsake_digests[1] = "abc"; });
  refused([](auto& r) { r[1].segment_digests[0] = std::string(32, 'A'); });
  refused([](auto& r) { r[1].segment_digests[0] = "abc"; });
  refused([](auto& r) { r[1].segment_digests.push_back(std::string(32, 'b')); });
  refused([](auto& r) { r[1].receipts[0].offset = 63; });
  refused([](auto& r) { r[1].receipts[1].size = 129; });
  refused([](auto& r) { r[1].receipts[1].size = UINT64_MAX; });
  refused([](auto& r) { r[1].leaves[0].tensor = 99; });
  refused([](auto& r) { r[1].leaves[0].leaf = 4; });
  refused([](auto& r) { r[1].leaves[0].tensor = 99; });
}

}  // namespace
}  // namespace merganser
