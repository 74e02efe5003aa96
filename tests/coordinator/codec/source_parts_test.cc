// Sources that are put together travel with a plan, and those that lie are refused.
#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/plan_codec.h"
#include "tests/coordinator/codec/sample_plan.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

// The sample's first source, of 128 elements in a file of 1000 bytes.
Plan WithParts(const std::function<void(PlannedSource&)>& change) {
  Plan plan = SamplePlan();
  PlannedSource& source = plan.tensors[0].sources[0];
  const StoredElements stored = {source.model, source.shard, 100, source.dtype};
  source.parts = {{64, {stored}}, {60, {}}, {4, {stored}}};
  change(source);
  return plan;
}

TEST(SourcePartsTest, RoundTrip) {
  const Plan plan = WithParts([](PlannedSource&) {});
  const auto back = DecodePlan(EncodePlan(plan));
  ASSERT_TRUE(back.ok()) << back.status();
  const PlannedSource& source = back->tensors[0].sources[0];
  const StoredElements& wanted = plan.tensors[0].sources[0].parts[0].of[0];
  ASSERT_EQ(source.parts.size(), 3u);
  EXPECT_EQ(source.parts[0].elements, 64u);
  ASSERT_EQ(source.parts[0].of.size(), 1u);
  EXPECT_EQ(source.parts[0].of[0].model, wanted.model);
  EXPECT_EQ(source.parts[0].of[0].shard, wanted.shard);
  EXPECT_EQ(source.parts[0].of[0].offset, wanted.offset);
  EXPECT_EQ(source.parts[0].of[0].dtype, wanted.dtype);
  EXPECT_TRUE(source.parts[1].of.empty());
  EXPECT_TRUE(back->tensors[0].sources[1].parts.empty());
}

struct BadParts {
  const char* name;
  std::function<void(PlannedSource&)> change;
  const char* where;
};

void PrintTo(const BadParts& bad, std::ostream* os) { *os << bad.name; }

class BadPartsTest : public ::testing::TestWithParam<BadParts> {};

TEST_P(BadPartsTest, AreRefusedWithTheirPlace) {
  const auto back = DecodePlan(EncodePlan(WithParts(GetParam().change)));
  ASSERT_FALSE(back.ok());
  EXPECT_THAT(std::string(back.status().message()),
              HasSubstr(std::string("plan.tensors[0].sources[0].") + GetParam().where));
}

INSTANTIATE_TEST_SUITE_P(
    Parts, BadPartsTest,
    ::testing::Values(
        BadParts{"TooFew", [](PlannedSource& s) { s.parts.pop_back(); }, "parts.elements"},
        BadParts{"TooMany", [](PlannedSource& s) { s.parts[2].elements = 5; }, "parts"},
        BadParts{"None", [](PlannedSource& s) { s.parts[1].elements = 0; }, "parts"},
        BadParts{"ManyThatWrap", [](PlannedSource& s) { s.parts[1].elements = ~uint64_t{0} - 3; },
                 "parts"},
        BadParts{"Model", [](PlannedSource& s) { s.parts[0].of[0].model = 9; }, "parts.model"},
        BadParts{"Shard", [](PlannedSource& s) { s.parts[0].of[0].shard = 9; }, "parts.shard"},
        BadParts{"BeyondItsFile", [](PlannedSource& s) { s.parts[0].of[0].offset = 990; },
                 "offset"},
        BadParts{"Integers", [](PlannedSource& s) { s.parts[0].of[0].dtype = DType::kI32; },
                 "parts.dtype"},
        // A mean in a type that would round it.
        BadParts{"MeanOfHalves",
                 [](PlannedSource& s) {
                   s.dtype = DType::kBF16;
                   for (SourcePart& part : s.parts) {
                     for (StoredElements& stored : part.of) stored.dtype = DType::kBF16;
                   }
                   s.parts[2].of.push_back(s.parts[2].of[0]);
                 },
                 "dtype"}),
    [](const ::testing::TestParamInfo<BadParts>& bad) { return std::string(bad.param.name); });

}  // namespace
}  // namespace merganser
