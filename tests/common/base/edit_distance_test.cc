#include "common/base/edit_distance.h"

#include <gtest/gtest.h>

namespace merganser {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsAndSubstitutions) {
  EXPECT_EQ(EditDistance("models", "models"), 0u);
  EXPECT_EQ(EditDistance("model", "models"), 1u);
  EXPECT_EQ(EditDistance("models", "model"), 1u);
  EXPECT_EQ(EditDistance("dtipe", "dtype"), 1u);
  EXPECT_EQ(EditDistance("wieght", "weight"), 2u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
}

TEST(EditDistance, OfNothingIsTheOthersLength) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
}

}  // namespace
}  // namespace merganser
