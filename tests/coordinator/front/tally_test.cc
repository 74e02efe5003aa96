#include "coordinator/front/tally.h"

#include <chrono>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace merganser::front {
namespace {

TEST(TallyTest, AFloodIsAFewLines) {
  std::vector<std::string> lines;
  Tally tally([&](const LogLine& line) { lines.push_back(line.message); });
  MonotonicTime now = MonotonicTime() + std::chrono::hours(1);
  const PeerKey peer{PeerKey::Kind::kUser, 7};
  for (int second = 0; second < 60; ++second) {
    for (int i = 0; i < 1000; ++i) tally.Add(i % 4 == 0 ? "a" : i % 4 == 1 ? "" : "b", peer, now);
    now += std::chrono::seconds(1);
    tally.Tell(now);
  }
  ASSERT_EQ(lines.size(), 3u);
  // The first comes at once.
  EXPECT_EQ(lines[0], "connections ended: 750 (a: 250, b: 500); the last was from user 7");
  EXPECT_EQ(lines[1], "connections ended: 15000 (a: 5000, b: 10000); the last was from user 7");
}

TEST(TallyTest, WhatEndsAsItShouldIsNotTold) {
  std::vector<std::string> lines;
  Tally tally([&](const LogLine& line) { lines.push_back(line.message); });
  const MonotonicTime now = MonotonicTime() + std::chrono::hours(1);
  tally.Add("", {}, now);
  tally.Tell(now + std::chrono::hours(1));
  EXPECT_TRUE(lines.empty());
}

}  // namespace
}  // namespace merganser::front
