#include "proto/convert/gates_codec.h"

#include "gtest/gtest.h"
#include "tests/coordinator/codec/sample_plan.h"

namespace merganser {
namespace {

TEST(GatesCodec, GatesSurviveAndOthersAreRefused) {
  const Plan plan = SamplePlan();
  const Gates gates = {{{0.25, -1}, true}};
  const auto back = ParseGates(SerializeGates(gates), plan);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ((*back)[0].values, gates[0].values);
  EXPECT_TRUE((*back)[0].settled);
  EXPECT_FALSE(ParseGates(SerializeGates({}), plan).ok());
  EXPECT_FALSE(ParseGates("\xff\xff", plan).ok());
}

}  // namespace
}  // namespace merganser
