#include "common/base/random_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace merganser {
namespace {

TEST(RandomHex, HasTwoDigitsAByteAndNeverRepeats) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = RandomHex(8);
    EXPECT_THAT(id, testing::MatchesRegex("[0-9a-f]{16}"));
    EXPECT_TRUE(seen.insert(id).second) << id;
  }
  EXPECT_EQ(RandomHex(64).size(), 128u);
  EXPECT_EQ(RandomHex(0), "");
}

}  // namespace
}  // namespace merganser
