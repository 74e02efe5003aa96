#include "common/engine/keepsake.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

const KeepsakeOwner kOwner = {"0123456789abcdef0123456789abcdef", 7, 2};

std::string Packed() { return PackKeepsakes(kOwner, {{{1.5, -0.0, 1e300}}, {}, {{4}}}); }

TEST(KeepsakeTest, WhatWasPackedIsRead) {
  const auto parsed = ParseKeepsakes(Packed(), kOwner);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->size(), 3u);
  EXPECT_EQ((*parsed)[0].values, (std::vector<double>{1.5, -0.0, 1e300}));
  EXPECT_TRUE((*parsed)[1].values.empty());
  EXPECT_EQ((*parsed)[2].values, std::vector<double>{4});
  EXPECT_TRUE(ParseKeepsakes(PackKeepsakes(kOwner, {}), kOwner)->empty());
}

TEST(KeepsakeTest, LiesInTheJobsWorkingFolder) {
  EXPECT_EQ(KeepsakeKey("job-1", 12, 3), ".merganser/job-1/keep/12-3");
}

TEST(KeepsakeTest, EveryTruncationAndEveryFlippedByteIsDataLoss) {
  const std::string whole = Packed();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(ParseKeepsakes(whole.substr(0, size), kOwner).status().code(),
              absl::StatusCode::kDataLoss)
        << size;
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    EXPECT_EQ(ParseKeepsakes(damaged, kOwner).status().code(), absl::StatusCode::kDataLoss) << at;
  }
  EXPECT_FALSE(ParseKeepsakes(whole + "x", kOwner).ok());
}

TEST(KeepsakeTest, AnotherOwnersIsRefused) {
  for (const KeepsakeOwner& other :
       {KeepsakeOwner{std::string(32, '0'), 7, 2}, KeepsakeOwner{kOwner.plan_digest, 8, 2},
        KeepsakeOwner{kOwner.plan_digest, 7, 3}}) {
    const absl::Status status = ParseKeepsakes(Packed(), other).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("another job or unit"));
  }
}

}  // namespace
}  // namespace merganser
