#include "proto/convert/result_codec.h"

#include <functional>
#include <limits>
#include <ostream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/codec/sample_plan.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

UnitResult SampleResult() {
  UnitResult result;
  result.unit = 1;
  result.round = 2;  // the last of three
  result.segment_digests = {std::string(32, 'a'), "0123456789abcdef0123456789abcdef"};
  result.receipts = {{64, 128, std::string("e\0tag", 5)}, {192, 128, ""}};
  LeafReport leaf;
  leaf.tensor = 0;
  leaf.leaf = 1;
  leaf.fields = {{"coherence", {0.25}, false}, {"sigma", {3.5, 1.25}, true}, {"none", {}, true}};
  leaf.seconds = 0.5;
  result.leaves = {leaf};
  result.bytes_read = 600;
  result.bytes_written = 256;
  result.seconds = 1.5;
  result.worker = "w";
  result.stages = {0.25, 0.5, 1.25, 0.125, 0.0625};
  return result;
}

TEST(ResultCodec, RoundTripKeepsWhatAnalysisFound) {
  UnitResult result;
  result.unit = 1;
  result.sums = {{0, 0, {1.5, -2}}, {0, 1, {}}};
  result.counts = {{0, {{3, 7}, {4, 1}, {uint64_t{1} << 40, 2}}}};
  result.keepsake_digests = {"", std::string(32, 'b')};
  result.groups = {{0, {{"threshold", {0.5}, false, true}}}};
  const auto back = DecodeUnitResult(EncodeUnitResult(result), SamplePlan());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->round, 0u);
  ASSERT_EQ(back->sums.size(), 2u);
  EXPECT_EQ(back->sums[0].sums, result.sums[0].sums);
  EXPECT_EQ(back->sums[1].leaf, 1u);
  ASSERT_EQ(back->counts.size(), 1u);
  EXPECT_EQ(back->counts[0].counts, result.counts[0].counts);
  EXPECT_EQ(back->keepsake_digests, result.keepsake_digests);
  ASSERT_EQ(back->groups.size(), 1u);
  EXPECT_EQ(back->groups[0].fields[0].values, std::vector<double>{0.5});
  EXPECT_TRUE(back->groups[0].fields[0].adds);
  EXPECT_EQ(back->Checksum(), result.Checksum());
}

TEST(ResultCodec, GatesSurviveAndOthersAreRefused) {
  const Plan plan = SamplePlan();
  const Gates gates = {{{0.25, -1}, true}};
  const auto back = ParseGates(SerializeGates(gates), plan);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ((*back)[0].values, gates[0].values);
  EXPECT_TRUE((*back)[0].settled);
  EXPECT_FALSE(ParseGates(SerializeGates({}), plan).ok());
  EXPECT_FALSE(ParseGates("\xff\xff", plan).ok());
}

TEST(ResultCodec, RoundTripKeepsEveryField) {
  const UnitResult result = SampleResult();
  const auto back = DecodeUnitResult(EncodeUnitResult(result), SamplePlan());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->unit, 1u);
  EXPECT_EQ(back->segment_digests, result.segment_digests);
  ASSERT_EQ(back->receipts.size(), 2u);
  EXPECT_EQ(back->receipts[0].offset, 64u);
  EXPECT_EQ(back->receipts[0].size, 128u);
  EXPECT_EQ(back->receipts[0].proof, result.receipts[0].proof);
  ASSERT_EQ(back->leaves.size(), 1u);
  EXPECT_EQ(back->leaves[0].leaf, 1u);
  EXPECT_EQ(back->leaves[0].seconds, 0.5);
  ASSERT_EQ(back->leaves[0].fields.size(), 3u);
  EXPECT_EQ(back->leaves[0].fields[1].key, "sigma");
  EXPECT_EQ(back->leaves[0].fields[1].values, (std::vector<double>{3.5, 1.25}));
  EXPECT_TRUE(back->leaves[0].fields[1].list);
  EXPECT_FALSE(back->leaves[0].fields[0].list);
  EXPECT_EQ(back->bytes_read, 600u);
  EXPECT_EQ(back->bytes_written, 256u);
  EXPECT_EQ(back->seconds, 1.5);
  EXPECT_EQ(back->worker, "w");
  EXPECT_EQ(back->stages, result.stages);
  EXPECT_EQ(back->Checksum(), result.Checksum());
}

TEST(ResultCodec, AWorkerThatTellsOfNoStagesIsUnderstood) {
  v1::UnitResult proto = EncodeUnitResult(SampleResult());
  proto.clear_stages();
  const auto back = DecodeUnitResult(proto, SamplePlan());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->stages, StageSeconds());
}

struct BadResult {
  const char* name;
  std::function<void(v1::UnitResult&)> spoil;
};
void PrintTo(const BadResult& c, std::ostream* out) { *out << c.name; }

class MalformedResult : public ::testing::TestWithParam<BadResult> {};

TEST_P(MalformedResult, IsRefused) {
  v1::UnitResult proto = EncodeUnitResult(SampleResult());
  GetParam().spoil(proto);
  const auto result = DecodeUnitResult(proto, SamplePlan());
  ASSERT_FALSE(result.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(result.status()));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("found"));
}

INSTANTIATE_TEST_SUITE_P(
    Catalogue, MalformedResult,
    ::testing::Values(
        BadResult{"Unit", [](v1::UnitResult& r) { r.set_unit(2); }},
        BadResult{"DigestMissing",
                  [](v1::UnitResult& r) { r.mutable_segment_digests()->RemoveLast(); }},
        BadResult{"DigestTooMany",
                  [](v1::UnitResult& r) { r.add_segment_digests(std::string(32, 'b')); }},
        BadResult{"DigestShort", [](v1::UnitResult& r) { r.set_segment_digests(0, "abc"); }},
        BadResult{"DigestUpperCase",
                  [](v1::UnitResult& r) { r.set_segment_digests(0, std::string(32, 'A')); }},
        BadResult{"ReceiptBefore",
                  [](v1::UnitResult& r) { r.mutable_receipts(0)->set_offset(63); }},
        BadResult{"ReceiptBeyond", [](v1::UnitResult& r) { r.mutable_receipts(1)->set_size(129); }},
        BadResult{"ReceiptOverflows",
                  [](v1::UnitResult& r) {
                    r.mutable_receipts(1)->set_size(std::numeric_limits<uint64_t>::max());
                  }},
        BadResult{"LeafTensor", [](v1::UnitResult& r) { r.mutable_leaves(0)->set_tensor(1); }},
        BadResult{"Leaf", [](v1::UnitResult& r) { r.mutable_leaves(0)->set_leaf(2); }}),
    [](const auto& c) { return std::string(c.param.name); });

}  // namespace
}  // namespace merganser
