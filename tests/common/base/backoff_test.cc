#include "common/base/backoff.h"

#include <chrono>
#include <limits>

#include "gtest/gtest.h"

namespace merganser {
namespace {

using std::chrono::seconds;

TEST(Backoff, WaitsTwiceAsLongEachTimeUpToTheMost) {
  Backoff backoff({seconds(1), seconds(5)});
  EXPECT_FALSE(backoff.failing());
  EXPECT_EQ(backoff.Next(), seconds(1));
  EXPECT_TRUE(backoff.failing());
  EXPECT_EQ(backoff.Next(), seconds(2));
  EXPECT_EQ(backoff.Next(), seconds(4));
  EXPECT_EQ(backoff.Next(), seconds(5));
  EXPECT_EQ(backoff.Next(), seconds(5));
}

TEST(Backoff, ASuccessBeginsAnew) {
  Backoff backoff({seconds(1), seconds(5)});
  backoff.Next();
  backoff.Next();
  backoff.Reset();
  EXPECT_FALSE(backoff.failing());
  EXPECT_EQ(backoff.Next(), seconds(1));
}

TEST(Backoff, ALimitHoldsAtOnceAndIsNeverWidened) {
  Backoff backoff({seconds(1), seconds(60)});
  for (int i = 0; i < 10; ++i) backoff.Next();
  backoff.Limit(seconds(3));
  EXPECT_EQ(backoff.Next(), seconds(3));
  backoff.Limit(seconds(30));
  EXPECT_EQ(backoff.Next(), seconds(3));
  backoff.Limit(seconds(0));
  EXPECT_EQ(backoff.Next(), seconds(0));
}

TEST(Backoff, AnyNumberOfFailuresEnds) {
  const int many = std::numeric_limits<int>::max();
  EXPECT_EQ(BackoffAfter(many, {Duration(1), Duration::max() / 2}), Duration::max() / 2);
  EXPECT_EQ(BackoffAfter(many, {Duration::zero(), seconds(1)}), Duration::zero());
}

}  // namespace
}  // namespace merganser
