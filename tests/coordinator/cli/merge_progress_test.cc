#include "coordinator/cli/merge_progress.h"

#include "gtest/gtest.h"

namespace merganser::cli {
namespace {

TEST(MergeProgressTest, PhasesFollowEachOther) {
  MergeProgress progress;
  EXPECT_EQ(progress.Sample({}).phase, "planning");
  EXPECT_FALSE(progress.Sample({}).moves);
  progress.Run({.bytes = 70, .units = 7}, /*rounds=*/3);
  const ProgressSample running = progress.Sample({.round = 1, .units_done = 4, .bytes_done = 33});
  EXPECT_EQ(running.phase, "round 2 of 3");
  EXPECT_TRUE(running.moves);
  EXPECT_EQ(running.bytes_done, 33u);
  EXPECT_EQ(running.bytes_total, 70u);
  EXPECT_EQ(running.units_done, 4u);
  EXPECT_EQ(running.units_total, 7u);
  EXPECT_EQ(running.workers, std::nullopt);
  progress.Enter("publishing");
  EXPECT_EQ(progress.Sample({.round = 2}).phase, "publishing");
  EXPECT_FALSE(progress.Sample({.round = 2}).moves);
}

TEST(MergeProgressTest, OneRoundIsNoRound) {
  MergeProgress progress;
  progress.Run({.bytes = 70, .units = 7}, /*rounds=*/1);
  EXPECT_EQ(progress.Sample({}).phase, "merging");
}

}  // namespace
}  // namespace merganser::cli
